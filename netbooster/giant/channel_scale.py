# SPDX-License-Identifier: Apache-2.0
"""A 1x1 depthwise convolution as what it is: one factor a channel."""

import torch
from torch import nn


class ChannelScale(nn.Module):
    """A 1x1 depthwise convolution, computed as a broadcast product.

    Its parameter has the name, shape and meaning of ``nn.Conv2d(k, k, 1, groups=k, bias=False)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, H, W] → same shape."""
        return x * self.weight.view(1, -1, 1, 1)

    def extra_repr(self) -> str:
        return f"{self.channels}"
