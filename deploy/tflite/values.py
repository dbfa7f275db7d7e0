# SPDX-License-Identifier: Apache-2.0
"""What kernels' parameters are made of, beside numbers and names."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Constant:
    """A constant array that goes to flash.

    ``kind`` says on which line of the flash table it counts: the weights' own bytes, or the tables
    of requantization and look-up. ``fast`` takes the place of ``data`` for the backend that has
    inner loops of its own.
    """

    data: np.ndarray
    kind: Literal["weights", "tables"]
    fast: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in flash, on cores of the fast backend."""
        return (self.data if self.fast is None else self.fast).nbytes


@dataclass(frozen=True)
class Requantization:
    """Per-channel constants of the fused bias, requantization and clamp (``nb_requantization``).

    Attributes:
        channels: laid out as the field ``fast`` says.
        fast, int16_weights, offset: what the field ``fast`` says; ``offset`` is None where sums are
            rounded twice, see deploy.tflite.single_rounding.
        magnitude: int64 [channels], an upper bound of abs(sum) over every possible input.
    """

    channels: Constant
    zero_point: int
    minimum: int
    maximum: int
    fast: bool
    magnitude: np.ndarray
    int16_weights: bool = False
    offset: int | None = None

    @property
    def rounds_once(self) -> bool:
        """Whether the fast backend rounds once."""
        return self.offset is not None

    @property
    def saturates(self) -> bool:
        """Whether the clamp is no narrower than int8."""
        return (self.minimum, self.maximum) == (-128, 127)


@dataclass(frozen=True)
class Ring:
    """Row y of a map lies in place (y + shift) % rows."""

    rows: int
    shift: int = 0
