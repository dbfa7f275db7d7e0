# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB of two tensors of one shape as one weighted sum, where that gives the same bytes.

The reference scales each operand with a rounding of its own, then their sum with two more, and
saturates. Operands are bytes: whether

    saturate(offset + first * factor[0] + second * factor[1] >> SHIFT)

equals it is decided here, for all 65,536 pairs. It does for nearly all scales, and where not the
operator keeps the reference's arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from deploy.tflite.numerics import INT32_MAX

SHIFT = 22  # NB_WEIGHTED_SUM_SHIFT
_NEAR = 5  # how far from the nearest integers factors are tried
_FAR = 2**62


@dataclass(frozen=True)
class WeightedSum:
    """``nb_weighted_sum_params``."""

    factors: tuple[int, int]
    offset: int


def find_weighted_sum(outputs: np.ndarray, ratios: tuple[float, float]) -> WeightedSum | None:
    """Factors and an offset that give every output; None where these are not found.

    Args:
        outputs: int64 [256, 256], the output for each first and second operand from -128 up.
        ratios: about what each operand counts in the output.
    """
    if not all(abs(ratio) < 2.0**8 for ratio in ratios):
        return None
    values = np.arange(-128, 128, dtype=np.int64)
    least = np.where(outputs == -128, -_FAR, outputs << SHIFT)
    most = np.where(outputs == 127, _FAR, ((outputs + 1) << SHIFT) - 1)
    around = range(-_NEAR, _NEAR + 1)
    near = sorted(((i, j) for i in around for j in around), key=lambda d: abs(d[0]) + abs(d[1]))
    for change in near:
        first, second = (
            round(ratio * 2**SHIFT) + d for ratio, d in zip(ratios, change, strict=True)
        )
        sums = values[:, None] * first + values[None, :] * second
        low, high = int((least - sums).max()), int((most - sums).min())
        if low <= high:
            offset = (low + high) // 2
            fits = int(np.abs(sums).max()) + abs(offset) <= INT32_MAX
            return WeightedSum((first, second), offset) if fits else None
    return None
