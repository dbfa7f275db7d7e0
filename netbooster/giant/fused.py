"""How an expanded block runs in training: as plain modules, or fused with the same results.

Fused on CPUs, in float32 and float64, in training mode, are inverted residuals of 1x1 layers
without stride and padding: with any activation once all have decayed to the identity, before that
with ReLU or ReLU6 on large maps. Everything else takes the plain path: other block types, GPUs
(many small launches would cost more than they save), evaluation, autocast, any BN but
``nn.BatchNorm2d`` with batch statistics (SyncBN, frozen BN), modules with hooks, tracing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from netbooster.giant.channel_scale import ChannelScale
from netbooster.giant.fused_block import CurvedBlock, Middle, PiecewiseLinear
from netbooster.giant.linear_block import LinearBlock
from netbooster.giant.moments import update_running
from netbooster.giant.plt import DecayedActivation

if TYPE_CHECKING:
    from netbooster.giant.expanded import ExpandedConv

_WORTH = 32
"""Pixels for each inner channel from which a curved block is fused. Below, its maps are small and
the fixed cost of the fused path is larger than what it saves (measured on two cores)."""

_CEILINGS = {nn.ReLU: float("inf"), nn.ReLU6: 6.0}


def fused_forward(block: ExpandedConv, x: Tensor) -> Tensor | None:
    """The block's output in training, [N, c, H, W] → [N, m, H, W]; None if it must run plainly."""
    if not _runs_here(block, x):
        return None
    conv1, bn1, act1, scale, bn2, act2, conv3 = block
    assert isinstance(conv1, nn.Conv2d) and isinstance(conv3, nn.Conv2d)
    assert isinstance(bn1, nn.BatchNorm2d) and isinstance(bn2, nn.BatchNorm2d)
    assert isinstance(act1, DecayedActivation) and isinstance(act2, DecayedActivation)
    assert isinstance(scale, ChannelScale)
    function: type[torch.autograd.Function]
    setting: object
    if act1.get_alpha() == act2.get_alpha() == 1.0:
        function, setting = LinearBlock, (bn1.eps, bn2.eps)
    elif (
        type(act1.activation) in _CEILINGS
        and type(act2.activation) in _CEILINGS
        and x.numel() // x.shape[1] >= _WORTH * scale.channels
    ):
        function = CurvedBlock
        setting = Middle(_piecewise(act1), _piecewise(act2), bn1.eps, bn2.eps)
    else:
        return None
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # a view where x is channels-last
    result, mean1, variance1, mean2, variance2 = function.apply(
        rows,
        conv1.weight.flatten(1),
        bn1.weight,
        bn1.bias,
        scale.weight.flatten(),
        bn2.weight,
        bn2.bias,
        conv3.weight.flatten(1),
        conv3.bias,
        setting,
    )
    update_running(bn1, mean1, variance1, len(rows))
    update_running(bn2, mean2, variance2, len(rows))
    y: Tensor = result.view(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)
    return y if x.is_contiguous(memory_format=torch.channels_last) else y.contiguous()


def _runs_here(block: ExpandedConv, x: Tensor) -> bool:
    """Whether fused execution has the meaning and the effects of the plain modules."""
    if block.block != "inverted_residual" or not block.training:
        return False
    if not isinstance(x, Tensor) or torch.compiler.is_compiling():
        return False
    dtype = block.first.weight.dtype
    return (
        x.device.type == "cpu"
        and x.dtype == dtype
        and dtype in (torch.float32, torch.float64)
        and x.dim() == 4
        and x.numel() > x.shape[1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and all(_fusible(module) for module in block)
    )


def _fusible(module: nn.Module) -> bool:
    if (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    ):
        return False
    if type(module) is nn.Conv2d:
        return (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1) and (
            module.padding in ((0, 0), "same", "valid")
        )
    if type(module) is nn.BatchNorm2d:
        return (
            module.training
            and module.affine
            and module.running_mean is not None
            and module.momentum is not None
        )
    return type(module) in (ChannelScale, DecayedActivation)


def _piecewise(activation: DecayedActivation) -> PiecewiseLinear:
    return PiecewiseLinear(activation.get_alpha(), _CEILINGS[type(activation.activation)])
