# SPDX-License-Identifier: Apache-2.0
"""The firmware's integer arithmetic on tensors: gemmlowp's fixed point, as TFLite Micro has it.

All sums and codes are int64 tensors that hold int32 values; scales are float32 as the model file
stores them, their products float64 unless said otherwise.
"""

import torch
from torch import Tensor

_ADD_BITS = 20  # both inputs of a sum are brought to one scale with so many more bits


def quantized_multiplier(factor: Tensor) -> tuple[Tensor, Tensor]:
    """A positive float64 factor as (multiplier, exponent): multiplier * 2**(exponent - 31)."""
    fraction, exponent = torch.frexp(factor)
    multiplier = torch.floor(fraction * 2.0**31 + 0.5).long()
    carry = multiplier == 2**31
    multiplier = torch.where(carry, multiplier // 2, multiplier)
    exponent = exponent.long() + carry.long()
    return torch.where(exponent < -31, torch.zeros_like(multiplier), multiplier), exponent


def multiply(values: Tensor, multiplier: Tensor, exponent: Tensor) -> Tensor:
    """``values * multiplier * 2**(exponent - 31)``, rounded as the firmware does, twice."""
    left, right = exponent.clamp(min=0), (-exponent).clamp(0, 31)
    product = ((values << left) * multiplier + (1 << 30)) >> 31
    mask = (torch.ones_like(right) << right) - 1
    threshold = (mask >> 1) + (product < 0).long()
    return (product >> right) + ((product & mask) > threshold).long()


def requantize(sums: Tensor, factor: Tensor) -> Tensor:
    """``sums * factor`` as the firmware multiplies.

    Args:
        factor: positive float64, broadcast against ``sums``.
    """
    return multiply(sums, *quantized_multiplier(factor))


def add(first: Tensor, second: Tensor, scales: tuple[Tensor, Tensor], output: Tensor) -> Tensor:
    """ADD: both inputs at a common scale with 20 more bits, then the output's scale.

    Args:
        first, second: codes less their zero points.
        scales: of the two inputs; ``output``: of the result.

    Returns:
        Codes before the output's zero point is added and clipped.
    """
    a, b = (scale.double() for scale in scales)
    twice = 2 * torch.maximum(a, b)
    total = requantize(first << _ADD_BITS, a / twice) + requantize(second << _ADD_BITS, b / twice)
    return requantize(total, twice / ((1 << _ADD_BITS) * output.double()))


def mean(sums: Tensor, count: int, scale: Tensor, output: Tensor) -> Tensor:
    """MEAN: one multiplication that also divides.

    Args:
        sums: of ``count`` codes less their zero point.
        scale, output: of the input and of the result.

    Returns:
        Codes before the output's zero point is added and clipped.
    """
    multiplier, exponent = quantized_multiplier(scale.double() / output.double())
    shift = min(count.bit_length() - 1, 32, 31 + int(exponent))
    return multiply(sums, (multiplier << shift) // count, exponent - shift)
