# SPDX-License-Identifier: Apache-2.0
"""Building blocks shared by the networks: convolution + BN + activation, inverted residual.

Strided convolutions pad as TFLite's SAME does, already in training: torch's symmetric padding would
make a converter emit PAD operators, which cost a stock interpreter half its memory again. SAME
depends on the size of the feature map, so every builder carries that size from layer to layer.
"""

import math

import torch
from torch import nn


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of ``divisor``, never losing more than 10%."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) of one axis as TFLite's SAME computes it.

    Args:
        size: length of the axis in front of the convolution, in pixels.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def output_size(size: int, stride: int) -> int:
    """Length of an axis after a SAME-padded convolution."""
    return math.ceil(size / stride)


class ConvBnAct(nn.Module):
    """Convolution without bias, BN, and an optional ReLU6, padded as TFLite's SAME.

    Symmetric padding stays inside the ``Conv2d``; asymmetric padding becomes a ``ZeroPad2d`` in
    front of it. The ``state_dict`` is the same in both cases.

    Args:
        size: height = width of the input in pixels, from which the padding follows.
        activation: whether a ReLU6 ends the layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        before, after = same_padding(size, kernel, stride)
        symmetric = before == after
        self.pad = None if symmetric else nn.ZeroPad2d((before, after, before, after))
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=before if symmetric else 0,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)
        # In place is safe: BN's backward pass needs its input, not its output.
        self.act = nn.ReLU6(inplace=True) if activation else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in, S, S] → [N, out, ceil(S/stride), ceil(S/stride)]."""
        if self.pad is not None:
            x = self.pad(x)
        x = self.bn(self.conv(x))
        return x if self.act is None else self.act(x)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: pointwise expansion, depthwise, linear pointwise projection.

    Args:
        size: height = width of the input in pixels.
        expansion: width of the block over its input; 1 leaves the pointwise expansion out.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: int,
        kernel: int = 3,
        stride: int = 1,
        expansion: int = 6,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = ConvBnAct(in_channels, hidden, size=size) if expansion != 1 else None
        self.depthwise = ConvBnAct(
            hidden, hidden, size=size, kernel=kernel, stride=stride, groups=hidden
        )
        self.project = ConvBnAct(
            hidden, out_channels, size=output_size(size, stride), activation=False
        )
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in, S, S] → [N, out, ceil(S/stride), ceil(S/stride)]."""
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.shortcut else y


class ImageClassifier(nn.Module):
    """Stem, blocks, optional 1x1 head, global average pooling, one linear layer."""

    def __init__(
        self,
        stem: nn.Module,
        blocks: list[nn.Module],
        head: nn.Module | None,
        features: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)
        self.head = head
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(features, num_classes)
        init_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, channels, S, S] float → logits [N, classes]."""
        x = self.blocks(self.stem(x))
        if self.head is not None:
            x = self.head(x)
        return self.classifier(torch.flatten(self.pool(x), 1))


def init_weights(model: nn.Module) -> None:
    """He's rule by fan-out for convolutions, N(0, 0.01) for linear layers, BN at 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
