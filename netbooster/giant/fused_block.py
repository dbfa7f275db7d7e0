"""Training forward and backward pass of an expanded block without its inner feature maps.

Plain modules write seven maps of k channels and read them again. Here

- BN1 is folded into the first convolution, its statistics taken from the block's input
  (:mod:`netbooster.giant.moments`);
- the depthwise 1x1 layer and BN2 are together one factor and one offset a channel: BN does not see
  a scale in front of it but for its sign and eps;
- both convolutions are matrix products over blocks of pixels that stay in a core's cache, and the
  backward pass computes the maps again, so that nothing of k channels is saved.

The results differ from the plain modules' by float rounding only.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from netbooster.giant.moments import Projection, backpropagate_, project
from netbooster.giant.pointwise import part_buffer, parts, product


@dataclass(frozen=True)
class PiecewiseLinear:
    """``alpha*x + (1-alpha)*clamp(x, 0, ceiling)``: a decaying ReLU (no ceiling) or ReLU6.

    It is monotone and its kinks are fixed points, so its value tells its slope.
    """

    alpha: float
    ceiling: float

    def apply_(self, x: Tensor, spare: Tensor) -> Tensor:
        """Overwrite ``x`` with its value; ``spare`` is scratch of x's shape."""
        if self.alpha == 0.0:
            return x.clamp_(0.0, self.ceiling)
        if self.alpha == 1.0:
            return x
        torch.clamp(x, 0.0, self.ceiling, out=spare)
        return torch.lerp(spare, x, self.alpha, out=x)

    def times_slope_(self, grad: Tensor, value: Tensor, spare: Tensor) -> Tensor:
        """Multiply ``grad`` by the slope where the value is ``value``, in place."""
        if self.alpha == 1.0:
            return grad
        target = grad if self.alpha == 0.0 else spare
        torch.ops.aten.hardtanh_backward.grad_input(
            grad, value, 0.0, self.ceiling, grad_input=target
        )
        return grad if self.alpha == 0.0 else torch.lerp(spare, grad, self.alpha, out=grad)


@dataclass(frozen=True)
class Middle:
    """What stands between the two convolutions, but for its parameters.

    Attributes:
        first, second: the activations behind BN1 and BN2.
        eps1, eps2: of BN1 and BN2.
    """

    first: PiecewiseLinear
    second: PiecewiseLinear
    eps1: float
    eps2: float

    def hidden_(self, rows: Tensor, weight: Tensor, offset: Tensor, out: Tensor) -> None:
        """First activation's output, [R, k], into ``out``."""
        width = out.shape[1]
        spare = part_buffer(width, out)
        for x, h in parts(width, rows, out):
            torch.addmm(offset, x, weight.t(), out=h)
            self.first.apply_(h, spare[: len(h)])


class CurvedBlock(torch.autograd.Function):
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
        middle: Middle,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        width, dtype = first.shape[0], rows.dtype
        projection = project(rows, first)
        root1 = (projection.variance + middle.eps1).rsqrt_()
        factor1 = gamma1 * root1
        image_mean = projection.image_mean
        weight = (factor1[:, None] * projection.weight).to(dtype)
        offset = (beta1 - factor1 * image_mean).to(dtype)
        hidden = rows.new_empty(rows.shape[0], width)
        middle.hidden_(rows, weight, offset, hidden)
        mean, variance = torch.batch_norm_update_stats(hidden, None, None, 0.0)
        root2 = (scale * scale * variance + middle.eps2).rsqrt_()
        factor2 = gamma2 * scale * root2
        shift2 = beta2 - factor2 * mean
        result = rows.new_empty(rows.shape[0], last.shape[0])
        buffer, spare = part_buffer(width, hidden), part_buffer(width, hidden)
        for h, y in parts(width, hidden, result):
            x = torch.addcmul(shift2, h, factor2, out=buffer[: len(h)])
            middle.second.apply_(x, spare[: len(h)])
            if bias is None:
                torch.mm(x, last.t(), out=y)
            else:
                torch.addmm(bias, x, last.t(), out=y)
        ctx.save_for_backward(
            rows, weight, offset, last, scale, gamma1, gamma2, root1, root2, factor2, shift2, mean,
            projection.mean, projection.weight, projection.half, projection.variance,
        )  # fmt: skip
        ctx.middle, ctx.has_bias = middle, bias is not None
        statistics = image_mean, projection.variance, scale * mean, scale * scale * variance
        ctx.mark_non_differentiable(*statistics)
        return (result, *statistics)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        (
            rows, weight, offset, last, scale, gamma1, gamma2, root1, root2, factor2, shift2, mean,
        ) = ctx.saved_tensors[:12]  # fmt: skip
        projection = Projection(*ctx.saved_tensors[12:])
        middle: Middle = ctx.middle
        count, width, dtype = rows.shape[0], weight.shape[0], rows.dtype
        grad_last = torch.zeros_like(last)
        hidden = rows.new_empty(count, width)
        middle.hidden_(rows, weight, offset, hidden)
        outer = torch.empty_like(hidden)  # gradient at BN2's output
        buffer, spare = part_buffer(width, hidden), part_buffer(width, hidden)
        for h, g, d in parts(width, hidden, grad, outer):
            x = torch.addcmul(shift2, h, factor2, out=buffer[: len(h)])
            middle.second.apply_(x, spare[: len(h)])
            grad_last.addmm_(g.t(), x)
            torch.mm(g, last, out=d)
            middle.second.times_slope_(d, x, spare[: len(h)])
        # ``along``: sum of outer * (hidden - mean).
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            outer, hidden, gamma2, None, None, mean, torch.ones_like(mean), True, 0.0,
            [False, True, True],
        )  # fmt: skip
        cube = root2 * root2 * root2
        # The gradient at ``hidden`` is factor2 * outer + level + tilt * hidden.
        tilt = along * gamma2 * scale * scale * scale * cube * (-1.0 / count)
        level = factor2 * total * (-1.0 / count) - tilt * mean
        grad_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        grad_weight = rows.new_zeros(rows.shape[1], width)
        grad_offset = torch.zeros_like(mean)
        into = rows if grad_rows is None else grad_rows
        for r, h, d, out in parts(width, rows, hidden, outer, into):
            x = torch.addcmul(level, h, tilt, out=buffer[: len(h)])
            x.addcmul_(d, factor2)
            middle.first.times_slope_(x, h, spare[: len(h)])
            grad_weight.addmm_(r.t(), x)
            grad_offset += x.sum(0)
            if grad_rows is not None:
                product(x, weight, out)
        # BN1 and the first convolution; weight = gamma1 * root1 * W1, offset = ... - weight @ mean
        wide = grad_weight.t() - torch.outer(grad_offset.double(), projection.mean)
        of_factor1 = (wide * projection.weight).sum(1)
        factor1 = gamma1 * root1
        of_variance = of_factor1 * factor1 * root1 * root1 * -0.5
        grad_first = factor1[:, None] * wide + 2.0 * of_variance[:, None] * projection.half
        if grad_rows is not None:
            backpropagate_(grad_rows, rows, projection, of_variance, -(grad_offset @ weight))
        return (
            grad_rows,
            grad_first.to(dtype),
            (of_factor1 * root1).to(dtype),
            grad_offset,
            along * gamma2 * cube * middle.eps2,
            along * scale * root2,
            total,
            grad_last,
            grad.sum(0) if ctx.has_bias else None,
            None,
        )
