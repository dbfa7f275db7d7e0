# SPDX-License-Identifier: Apache-2.0
"""The blocks that stand in for one layer while the giant is trained.

An expanded block sits at the qualified name of the layer that it replaces and remembers that
layer's form, so that contraction can put it back.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from netbooster.giant.channel_scale import ChannelScale
from netbooster.giant.linear_block import linear_forward
from netbooster.giant.plt import DecayedActivation
from netbooster.giant.recompute import run_recomputed

BlockType = Literal["inverted_residual", "bottleneck", "basic"]


@dataclass(frozen=True)
class ReplacedLayer:
    """Form of the layer that a block replaces.

    Attributes:
        arguments: what its class takes to build it again.
        following_bn: where the BN that absorbs the merged bias is: how many levels up from the
            block, then the path down from there. Relative, so that wrapping the giant in another
            module does not lose it. None if no BN follows.
    """

    arguments: dict[str, Any]
    following_bn: tuple[int, str] | None


class ExpandedConv(nn.Sequential):
    """Several layers in place of one pointwise convolution (Section 3.3 of the paper).

    inverted_residual: 1x1 c→k, BN, act, depthwise on k, BN, act, 1x1 k→m;
    bottleneck: 1x1 c→k, BN, act, 1x1 k→k, BN, act, 1x1 k→m;
    basic: 1x1 c→m, BN, act, 1x1 m→m.
    The BN and the activation that follow the replaced layer stay where they are. The block's
    activations decay (``DecayedActivation``).

    Args:
        conv: the convolution to replace; 1x1 and ungrouped.
        kernel: of the depthwise convolution; above 1 the receptive field grows, and the zeros
            that pad it stand in front of the block, so that contraction stays exact.
        ratio: k over c.
        bn: the BN that follows; the block's own ones take its eps and momentum.
        following_bn: see ``ReplacedLayer``.
    """

    replaced: ReplacedLayer
    recompute = False
    """Whether training keeps the block's input alone and computes its maps again."""
    fused = True
    """Whether training at alpha 1 may take the block as the one map that it is; False runs the
    modules one after another."""

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        block: BlockType,
        ratio: int,
        activation: nn.Module,
        bn: nn.modules.batchnorm._BatchNorm | None = None,
        following_bn: tuple[int, str] | None = None,
        kernel: int = 1,
    ) -> None:
        channels, out = conv.in_channels, conv.out_channels
        hidden = out if block == "basic" else channels * ratio
        border = (kernel - 1) // 2
        rows, columns = (0, 0) if isinstance(conv.padding, str) else conv.padding
        padding = (rows + border, columns + border)
        # A strided 1x1 layer only skips pixels, so skipping them first costs least.
        stride = (conv.stride[0], conv.stride[1])
        first_stride, middle_stride = (stride, (1, 1)) if kernel == 1 else ((1, 1), stride)

        def norm() -> nn.BatchNorm2d:
            if bn is None:
                return nn.BatchNorm2d(hidden)
            return nn.BatchNorm2d(hidden, eps=bn.eps, momentum=bn.momentum)

        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = nn.Conv2d(channels, hidden, 1, first_stride, padding=padding, bias=False)
        layers["bn1"] = norm()
        layers["act1"] = DecayedActivation(activation, inplace=True)
        if block != "basic":
            layers["conv2"] = _middle(block, hidden, kernel, middle_stride)
            layers["bn2"] = norm()
            layers["act2"] = DecayedActivation(activation, inplace=True)
        last = "conv2" if block == "basic" else "conv3"
        layers[last] = nn.Conv2d(hidden, out, 1, bias=conv.bias is not None)
        super().__init__(layers)
        self.block = block
        self.ratio = ratio
        self.replaced = ReplacedLayer(
            {
                "in_channels": channels,
                "out_channels": out,
                "kernel_size": (kernel, kernel),
                "stride": stride,
                "padding": padding,
                "bias": conv.bias is not None,
            },
            following_bn,
        )
        self.to(device=conv.weight.device, dtype=conv.weight.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, c, H, W] → [N, m, H, W]; one map where that is the same (``linear_forward``)."""
        result = linear_forward(self, x) if self.fused else None
        if result is not None:
            return result
        if self.recompute and _trains(self, x):
            return run_recomputed(self, super().forward, x)
        return super().forward(x)

    @property
    def first(self) -> nn.Conv2d:
        layer = self[0]
        assert isinstance(layer, nn.Conv2d)
        return layer

    @property
    def last(self) -> nn.Conv2d:
        layer = self[len(self) - 1]
        assert isinstance(layer, nn.Conv2d)
        return layer


class ExpandedLinear(nn.Sequential):
    """Two linear layers with an activation between, in place of one (Appendix A, DeiT)."""

    replaced: ReplacedLayer
    recompute = False
    """See ``ExpandedConv``."""

    def __init__(
        self,
        linear: nn.Linear,
        *,
        ratio: int,
        activation: nn.Module,
        following_bn: tuple[int, str] | None = None,
    ) -> None:
        hidden = linear.in_features * ratio
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["fc1"] = nn.Linear(linear.in_features, hidden)
        layers["act1"] = DecayedActivation(activation)
        layers["fc2"] = nn.Linear(hidden, linear.out_features, bias=linear.bias is not None)
        super().__init__(layers)
        self.block = "linear"
        self.ratio = ratio
        self.replaced = ReplacedLayer(
            {
                "in_features": linear.in_features,
                "out_features": linear.out_features,
                "bias": linear.bias is not None,
            },
            following_bn,
        )
        self.to(device=linear.weight.device, dtype=linear.weight.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in_features] → [..., out_features]."""
        if self.recompute and _trains(self, x):
            return run_recomputed(self, super().forward, x)
        return super().forward(x)

    @property
    def first(self) -> nn.Linear:
        layer = self[0]
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def last(self) -> nn.Linear:
        layer = self[len(self) - 1]
        assert isinstance(layer, nn.Linear)
        return layer


EXPANDED = (ExpandedConv, ExpandedLinear)


def set_recompute(model: nn.Module, on: bool) -> None:
    """Whether the blocks of a giant compute their maps again in the backward pass.

    It saves memory and costs time; the numbers stay the same bits. A model without blocks is left
    as it is.
    """
    for module in model.modules():
        if isinstance(module, EXPANDED):
            module.recompute = on


def _trains(block: nn.Module, x: torch.Tensor) -> bool:
    """Whether a backward pass may follow; tracing sees the modules as they are."""
    return block.training and torch.is_grad_enabled() and isinstance(x, torch.Tensor)


def _middle(block: BlockType, channels: int, kernel: int, stride: tuple[int, int]) -> nn.Module:
    if block == "bottleneck":
        return nn.Conv2d(channels, channels, 1, bias=False)
    if kernel == 1:
        return ChannelScale(channels)
    return nn.Conv2d(channels, channels, kernel, stride, groups=channels, bias=False)
