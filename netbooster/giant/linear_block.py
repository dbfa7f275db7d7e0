"""An inverted residual whose activations have decayed to the identity, as the one map that it is.

With f the factor of BN1, scale and BN2 together, BN2's bias b and m the mean of the input x, the
block computes W3 (f * W1 (x - m) + b): BN1's offset and the scale's sign in it cancel in BN2. f
follows from the covariance of x, so no map of k channels ever exists, forward or backward.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from netbooster.giant.moments import Projection, backpropagate_, project
from netbooster.giant.pointwise import parts, product


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
