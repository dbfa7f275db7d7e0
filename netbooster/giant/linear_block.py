# SPDX-License-Identifier: Apache-2.0
"""An inverted residual whose activations have decayed to the identity, as the one map that it is.

With f the factor of BN1, scale and BN2 together, BN2's bias b and m the mean of the input x, the
block computes W3 (f * W1 (x - m) + b): BN1's offset and the scale's sign in it cancel in BN2. f
follows from the covariance of x, so no map of k channels ever exists, forward or backward.

So run on CPUs, in float32 and float64, in training, inverted residuals of 1x1 layers without stride
and padding, with any activation. Everything else takes the plain path: other block types, GPUs
(many small launches would cost more than they save), evaluation, autocast, any BN but
``nn.BatchNorm2d`` with batch statistics (SyncBN, frozen BN), modules with hooks, tracing.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from netbooster.giant.channel_scale import ChannelScale
from netbooster.giant.moments import Projection, backpropagate_, project, update_running
from netbooster.giant.plt import DecayedActivation
from netbooster.giant.pointwise import parts, product

_LAYERS = [
    nn.Conv2d,
    nn.BatchNorm2d,
    DecayedActivation,
    ChannelScale,
    nn.BatchNorm2d,
    DecayedActivation,
    nn.Conv2d,
]


def linear_forward(layers: nn.Sequential, x: Tensor) -> Tensor | None:
    """A block's output in training, [N, c, H, W] → [N, m, H, W]; None if it must run plainly.

    The results and the effects on running statistics are those of the layers, up to rounding.
    """
    if not _runs_here(layers, x):
        return None
    conv1, bn1, _, scale, bn2, _, conv3 = layers
    assert isinstance(conv1, nn.Conv2d) and isinstance(conv3, nn.Conv2d)
    assert isinstance(bn1, nn.BatchNorm2d) and isinstance(bn2, nn.BatchNorm2d)
    assert isinstance(scale, ChannelScale)
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # a view where x is channels-last
    result, mean1, variance1, mean2, variance2 = LinearBlock.apply(
        rows,
        conv1.weight.flatten(1),
        bn1.weight,
        bn1.bias,
        scale.weight.flatten(),
        bn2.weight,
        bn2.bias,
        conv3.weight.flatten(1),
        conv3.bias,
        (bn1.eps, bn2.eps),
    )
    update_running(bn1, mean1, variance1, len(rows))
    update_running(bn2, mean2, variance2, len(rows))
    y: Tensor = result.view(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)
    return y if x.is_contiguous(memory_format=torch.channels_last) else y.contiguous()


def _runs_here(layers: nn.Sequential, x: Tensor) -> bool:
    """Whether the one map has the meaning and the effects of the plain modules."""
    if not layers.training or [type(layer) for layer in layers] != _LAYERS:
        return False
    if not isinstance(x, Tensor) or torch.compiler.is_compiling():
        return False
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    dtype = first.weight.dtype
    return (
        x.device.type == "cpu"
        and x.dtype == dtype
        and dtype in (torch.float32, torch.float64)
        and x.dim() == 4
        and x.numel() > x.shape[1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and all(_replaceable(layer) for layer in layers)
    )


def _replaceable(layer: nn.Module) -> bool:
    """Whether nothing of the layer is missed but its product."""
    if (
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
    ):
        return False
    if isinstance(layer, nn.Conv2d):
        return (layer.kernel_size, layer.stride, layer.groups) == ((1, 1), (1, 1), 1) and (
            layer.padding in ((0, 0), "same", "valid")
        )
    if isinstance(layer, nn.BatchNorm2d):
        return (
            layer.training
            and layer.affine
            and layer.running_mean is not None
            and layer.momentum is not None
        )
    return not isinstance(layer, DecayedActivation) or layer.get_alpha() == 1.0


class LinearBlock(torch.autograd.Function):
    """``apply`` → result [R, m]; mean and variance [k] at BN1's input, then at BN2's."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        first: Tensor,
        gamma1: Tensor,
        beta1: Tensor,
        scale: Tensor,
        gamma2: Tensor,
        beta2: Tensor,
        last: Tensor,
        bias: Tensor | None,
        eps: tuple[float, float],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        projection = project(rows, first)
        variance = projection.variance
        gain = scale * gamma1
        # BN2 sees the variance gain^2 * variance / (variance + eps1).
        root = (gain * gain * variance + eps[1] * (variance + eps[0])).rsqrt_()
        factor = gamma2 * gain * root
        matrix = last @ (factor[:, None] * projection.weight).to(rows.dtype)
        offset = last @ beta2 if bias is None else torch.addmv(bias, last, beta2)
        offset = offset - matrix @ projection.mean.to(rows.dtype)
        result = torch.addmm(offset, rows, matrix.t())
        ctx.save_for_backward(
            rows, last, scale, gamma1, gamma2, beta2, root, factor, matrix,
            projection.mean, projection.weight, projection.half, variance,
        )  # fmt: skip
        ctx.eps, ctx.has_bias = eps, bias is not None
        second = gain * gain * variance / (variance + eps[0])
        statistics = projection.image_mean, variance, scale * beta1, second
        ctx.mark_non_differentiable(*statistics)
        return (result, *statistics)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        rows, last, scale, gamma1, gamma2, beta2, root, factor, matrix = ctx.saved_tensors[:9]
        projection = Projection(*ctx.saved_tensors[9:])
        eps1, eps2 = ctx.eps
        dtype = rows.dtype
        grad_matrix = rows.new_zeros(rows.shape[1], matrix.shape[0])
        for x, g in parts(matrix.shape[0], rows, grad):
            grad_matrix.addmm_(x.t(), g)
        grad_offset = grad.sum(0)
        mean = projection.mean.to(dtype)
        grad_matrix -= torch.outer(mean, grad_offset)
        weight = projection.weight.to(dtype)
        narrow = factor.to(dtype)
        # [c, m] @ [m, k]: gradient at factor * W1, transposed
        inner = (grad_matrix @ last).t()
        grad_last = torch.addmm(
            torch.outer(grad_offset, beta2), grad_matrix.t(), (narrow[:, None] * weight).t()
        )
        of_factor = (inner * weight).sum(1)
        gain = scale * gamma1
        cube = of_factor * gamma2 * root * root * root
        variance = projection.variance
        of_gain = cube * (eps2 * (variance + eps1))
        of_variance = cube * gain * (gain * gain + eps2) * -0.5
        grad_first = narrow[:, None] * inner
        grad_first += (2.0 * of_variance[:, None] * projection.half).to(dtype)
        grad_rows = None
        if ctx.needs_input_grad[0]:
            grad_rows = torch.empty_like(rows)
            for g, out in parts(matrix.shape[0], grad, grad_rows):
                product(g, matrix, out)
            of_mean = -(grad_offset @ matrix)
            backpropagate_(grad_rows, rows, projection, of_variance, of_mean)
        return (
            grad_rows,
            grad_first,
            (of_gain * scale).to(dtype),
            torch.zeros_like(gamma1),
            (of_gain * gamma1).to(dtype),
            (of_factor * gain * root).to(dtype),
            grad_offset @ last,
            grad_last,
            grad_offset if ctx.has_bias else None,
            None,
        )
