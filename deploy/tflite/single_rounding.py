# SPDX-License-Identifier: Apache-2.0
"""One rounding instead of two behind ReLU, with the same bytes.

The reference rounds twice: v = round(sum * m / 2**31), then round(v / 2**s) with ties away from
zero. Behind ReLU the zero point is -128, so only sums of positive v give anything else than the
smallest byte, and the output is a staircase of at most 255 steps: byte j begins at

    sum >= T[j] = ceil((((j + 128) * 2**s - 2**(s - 1)) * 2**31 - 2**30) / m).

A line whose integer part makes the same steps is the same function. The kernels compute it by one
SMMLA and one SSAT from sums that are SCALE times as large (of inputs that are: that costs nothing,
a mask widens bytes to 256 times their value as fast as SXTB16 to themselves):

    (offset + ((SCALE * sum + nudge) * slope >> 32)) >> SHIFT

The slope and the nudge, which joins the bias, are of a channel, the offset is of a layer. Whether
some exist is decided here, exactly, step by step; the slope that the multiplier itself gives is the
first of those that are tried. A layer in which a channel has none is requantized in two roundings.
"""

from dataclasses import dataclass

import numpy as np

SCALE = 256
SHIFT = 10
ZERO_POINT = -128
OFFSET = ZERO_POINT * 2**SHIFT + 2 ** (SHIFT - 1)  # NB_SINGLE_OFFSET
INT32_MAX = 2**31 - 1
# Slopes that are tried: multiples of 2**-(s + _FINE) of the first one, nearest first; the width of
# what fits goes by 2**-(2 * s).
_FINE = 18
_SLOPES = 40
_OFFSETS = 48


@dataclass(frozen=True)
class SingleRounding:
    """What the kernels need.

    Attributes:
        table: int32 [channels, 2], SCALE times the bias plus the nudge, and the slope.
        offset: of the layer, in 2**-SHIFT of an output, above OFFSET; within -24..23.
    """

    table: np.ndarray
    offset: int


def find_single_rounding(
    bias: np.ndarray,
    magnitude: np.ndarray,
    multipliers: np.ndarray,
    shifts: np.ndarray,
    maximum: int,
) -> SingleRounding | None:
    """Slopes, nudges and an offset for a layer with zero point -128; None where there are none.

    Args:
        bias: int64 [channels].
        magnitude: int64 [channels], an upper bound of abs(sum), bias included.
        multipliers: int64 [channels], each 2**30 to 2**31 - 1.
        shifts: int64 [channels], to the right, each 1 to 24.
        maximum: of the output; larger ones are clamped afterwards.
    """
    if shifts.size == 0 or int(shifts.min()) + 7 < SHIFT or maximum <= ZERO_POINT:
        return None
    if np.any(SCALE * magnitude > INT32_MAX):
        return None
    bytes_up = np.arange(1, maximum - ZERO_POINT + 1, dtype=np.int64)
    halves = 2 * bytes_up[None, :] - 1  # of the steps, in halves of 2**s
    scaled = halves << (shifts[:, None] - 1 + 31)
    steps = -((2**30 - scaled) // multipliers[:, None])
    # Where no sum reaches a step, the line must not reach it either; nothing else matters.
    reached = steps <= magnitude[:, None]
    steps = np.minimum(steps, magnitude[:, None] + 1)
    first = multipliers >> (shifts + 7 - SHIFT)
    # The hardest channels first, that an offset without hope is left early.
    order = np.argsort(-shifts, kind="stable")
    for number in range(_OFFSETS):
        offset = (number + 1) // 2 * (-1) ** number  # 0, -1, 1, -2, ...
        found = _find(steps[order], reached[order], first[order], shifts[order], bytes_up, offset)
        if found is None:
            continue
        slopes, nudges = (np.empty_like(values) for values in found)
        slopes[order], nudges[order] = found
        if np.any(SCALE * magnitude + np.abs(nudges) > INT32_MAX):
            return None
        table = np.stack([SCALE * bias + nudges, slopes], axis=1).astype(np.int32)
        return SingleRounding(table, offset)
    return None


def _find(
    steps: np.ndarray,
    reached: np.ndarray,
    first: np.ndarray,
    shifts: np.ndarray,
    bytes_up: np.ndarray,
    offset: int,
) -> tuple[np.ndarray, np.ndarray] | None:
    """A slope and a nudge for every channel; None where one has none with this offset."""
    # What the high word must reach for each byte.
    high = (bytes_up << SHIFT) - 2 ** (SHIFT - 1) - offset
    slopes, nudges = np.zeros_like(first), np.zeros_like(first)
    tried = [np.full(len(first), 2**62), np.full(len(first), 2**62)]  # up, down
    for start in range(0, len(first), 64):
        part = slice(start, start + 64)
        left = np.arange(len(first))[part]
        for number in range(2 * _SLOPES + 1):
            change = (number + 1) // 2 * (-1) ** number
            moved = change * first[left] >> (shifts[left] + _FINE)
            # Slopes of few bits: many multiples are the same one.
            fresh = moved != tried[number % 2][left]
            tried[number % 2][left] = moved
            if not fresh.any():
                continue
            found = left[fresh]
            slope = first[found] + moved[fresh]
            fits = (slope > 0) & (slope <= INT32_MAX)
            slope = np.where(fits, slope, 1)
            # The sum, scaled and nudged, at which the high word reaches it.
            needed = -(-(high[None, :] << 32) // slope[:, None]) - SCALE * steps[found]
            low = np.where(reached[found], needed, -INT32_MAX).max(axis=1)
            most = needed.min(axis=1) + SCALE - 1
            nudge = np.where(low > -INT32_MAX, (low + most) // 2, np.minimum(most, 0))
            fits &= low <= most
            slopes[found[fits]], nudges[found[fits]] = slope[fits], nudge[fits]
            left = np.setdiff1d(left, found[fits])
            if not left.size:
                break
        else:
            return None
    return slopes, nudges
