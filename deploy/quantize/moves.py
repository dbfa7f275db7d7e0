# SPDX-License-Identifier: Apache-2.0
"""Operators that only move data about: each costs a microcontroller memory, time or both."""

from collections.abc import Sequence

DATA_MOVES = ("TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "PAD", "PADV2")
_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")


def needed_by(operator: str, readers: Sequence[str]) -> bool:
    """Whether the operators behind it leave no other way: a pool that pads otherwise than SAME.

    A convolution's kernel can grow by zeros instead, so that a PAD in front of it is not needed.
    """
    return operator == "PAD" and bool(readers) and all(kind in _POOLS for kind in readers)
