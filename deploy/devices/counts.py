# SPDX-License-Identifier: Apache-2.0
"""What one inference took."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Count:
    """What one layer or function took, as an emulator counted it; cycles are estimated."""

    symbol: str
    calls: int
    instructions: int
    cycles_estimated: int | None
    bytes_loaded: int
    bytes_stored: int


@dataclass(frozen=True)
class Lap:
    """What one inference took; what the device cannot tell is None.

    Attributes:
        microseconds, cycles: measured, on a board alone.
        instructions: executed, in an emulator alone.
        cycles_estimated: by the target's cycle model, where instructions are counted by kind. An
            estimate, never a measurement.
        outside: what ran in no layer.
        layers: in an emulator that counts by layer, in order.
        functions: where they were asked for; without what they call.
    """

    microseconds: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    cycles_estimated: int | None = None
    outside: Count | None = None
    layers: tuple[Count, ...] = ()
    functions: tuple[Count, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What :meth:`to_dict` made.

        Raises:
            TypeError: it is something else.
        """
        outside = data.get("outside")
        parts = {
            key: tuple(Count(**part) for part in data.get(key, ()))
            for key in ("layers", "functions")
        }
        return cls(**{**data, "outside": Count(**outside) if outside else None, **parts})
