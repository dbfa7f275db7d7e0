# SPDX-License-Identifier: Apache-2.0
"""How a model is planned: schedule, RAM, input, dead channels, int16 weights."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from deploy.targets import Target


PROGRAM_BYTES = 40_000  # for kernels, generated code, harness and port, with room to spare


class ScheduleName(StrEnum):
    """How layers take turns."""

    AUTO = "auto"
    LAYERS = "layers"
    FUSED = "fused"
    ROWS = "rows"

    @property
    def internal(self) -> str:
        """The compiler's word."""
        return "layer" if self is ScheduleName.LAYERS else self.value


class InputMode(StrEnum):
    """How the input arrives."""

    IMAGE = "image"
    ROWS = "rows"


@dataclass(frozen=True)
class Planning:
    """What a caller asks for.

    Attributes:
        schedule: layers: each layer whole; fused: blocks a few rows at a time; rows: also the
            network's beginning; auto: the least memory that costs next to no time.
        input: image: the whole input lies in RAM; rows: it is pushed row by row.
        ram: bytes for everything, stack included: the fastest plan that fits. None: what the
            target has, of which as little is taken as costs next to no time.
        keep_dead: keep channels whose value is known, or that nothing reads. None: runs keep
            them, because they compare budgets; single models lose them.
        widen_weights: store weights as int16 where flash has room.
    """

    schedule: ScheduleName = ScheduleName.AUTO
    input: InputMode = InputMode.IMAGE
    ram: int | None = None
    keep_dead: bool | None = None
    widen_weights: bool = False

    @classmethod
    def of(
        cls,
        schedule: str = "auto",
        input: str = "image",
        ram: int | None = None,
        keep_dead: bool | None = None,
        widen_weights: bool = False,
    ) -> "Planning":
        """The same from plain words.

        Raises:
            DeployError: an unknown schedule or input.
        """
        for what, word, known in (
            ("schedule", schedule, ScheduleName),
            ("input", input, InputMode),
        ):
            if word not in list(known):
                raise DeployError(f"unknown {what} '{word}'; choose one of {', '.join(known)}")
        return cls(ScheduleName(schedule), InputMode(input), ram, keep_dead, widen_weights)

    def arguments(self, target: "Target", *, in_run: bool) -> dict[str, Any]:
        """Keyword arguments of :func:`deploy.codegen.compile_model` for a target's RAM.

        Raises:
            DeployError: the RAM holds no more than the stack, or int16 weights are asked for where
                they gain nothing.
        """
        from deploy.schedule import arena_limit

        limit = arena_limit(target, self.ram)
        return {
            "schedule": self.schedule.internal,
            "input_mode": self.input.value,
            "ram": None if self.ram is None else limit,
            "limit": limit,
            "keep_dead": in_run if self.keep_dead is None else self.keep_dead,
            "constants_limit": constants_limit(target) if self.widen_weights else None,
        }


def constants_limit(target: "Target") -> int:
    """Bytes of flash that weights and tables may take, so that the program has room beside them.

    Raises:
        DeployError: the target has no flash, or its core gains nothing from int16 weights.
    """
    from deploy.backends import backend_of, widening_cores

    if target.flash is None or not backend_of(target.core).widens_weights:
        raise DeployError(
            f"int16 weights gain nothing on {target.name} ({target.core}): they are for "
            f"{', '.join(widening_cores())}; leave --widen-weights out"
        )
    return target.flash.length - PROGRAM_BYTES
