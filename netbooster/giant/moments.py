# SPDX-License-Identifier: Apache-2.0
"""Batch statistics of a linear map from the moments of its input.

mean(Wx) = W mean(x) and var(w.x) = w.Cov(x).w, so BN behind a 1x1 convolution needs no pass over
the convolution's output, and becomes part of the convolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netbooster.giant.pointwise import parts


@dataclass(frozen=True)
class Projection:
    """Moments of rows x [R, c] and of their images Wx, W [k, c]. All in float64.

    Attributes:
        mean: [c], of x.
        weight: [k, c], W.
        half: [k, c], W Cov(x).
        variance: [k], biased, of Wx.
    """

    mean: Tensor
    weight: Tensor
    half: Tensor
    variance: Tensor

    @property
    def image_mean(self) -> Tensor:
        """[k], of Wx."""
        return self.weight @ self.mean


def project(rows: Tensor, weight: Tensor) -> Projection:
    """Moments of ``rows`` [R, c] and of their images under ``weight`` [k, c]."""
    count, channels = rows.shape
    # Around the mean and in float64: else a small variance beside a large one would be lost.
    mean = rows.sum(0).double() / count
    covariance = mean.new_zeros(channels, channels)
    for (part,) in parts(channels, rows):
        centred = part - mean
        covariance.addmm_(centred.t(), centred)
    wide = weight.double()
    half = wide @ covariance.div_(count)
    return Projection(mean, wide, half, (half * wide).sum(1))


def backpropagate_(
    grad_rows: Tensor, rows: Tensor, projection: Projection, of_variance: Tensor, of_mean: Tensor
) -> None:
    """Add to ``grad_rows`` [R, c] what comes through the moments.

    Args:
        of_variance: [k], gradient at the images' variance.
        of_mean: [c], gradient at the rows' mean.
    """
    count = rows.shape[0]
    slope = projection.weight.t() @ (of_variance[:, None] * projection.weight) * (2 / count)
    grad_rows.addmm_(rows, slope.to(rows.dtype))
    grad_rows += (of_mean / count - slope @ projection.mean).to(rows.dtype)


@torch.no_grad()
def update_running(bn: nn.BatchNorm2d, mean: Tensor, variance: Tensor, rows: int) -> None:
    """Move the running statistics as ``nn.BatchNorm2d`` does, the variance unbiased.

    Args:
        mean, variance: [k], the variance biased, of ``rows`` samples.
    """
    assert bn.running_mean is not None and bn.running_var is not None
    assert bn.num_batches_tracked is not None and bn.momentum is not None
    bn.running_mean.lerp_(mean.to(bn.running_mean.dtype), bn.momentum)
    unbiased = variance * (rows / (rows - 1))
    bn.running_var.lerp_(unbiased.to(bn.running_var.dtype), bn.momentum)
    bn.num_batches_tracked.add_(1)
