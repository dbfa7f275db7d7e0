"""What `compile`, `plan`, `bench` and `run` share: schedule, RAM, input."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deploy.targets import Target


DSP_CORES = ("cortex-m4", "cortex-m7")
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
    """What the options say.

    ``keep_dead`` is None where nobody said: runs keep dead channels, because they compare budgets;
    single models lose them.
    """

    schedule: ScheduleName = ScheduleName.AUTO
    input_mode: InputMode = InputMode.IMAGE
    ram: int | None = None
    keep_dead: bool | None = None
    widen_weights: bool = False

    def arguments(self, target: "Target", *, in_run: bool) -> dict[str, Any]:
        """Keyword arguments of :func:`deploy.codegen.compile_model` for a target's RAM.

        Raises:
            DeployError: the RAM holds no more than the stack, or int16 weights are asked for where
                they gain nothing.
        """
        from deploy.schedule.memory import arena_limit

        limit = arena_limit(target, self.ram)
        return {
            "schedule": self.schedule.internal,
            "input_mode": self.input_mode.value,
            "ram": None if self.ram is None else limit,
            "limit": limit,
            "keep_dead": in_run if self.keep_dead is None else self.keep_dead,
            "constants_limit": constants_limit(target) if self.widen_weights else None,
        }


def constants_limit(target: "Target") -> int:
    """Bytes of flash that weights and tables may take, so that the program has room beside them.

    Raises:
        DeployError: the target has no flash, or its core no DSP instructions.
    """
    from deploy.core.errors import DeployError

    if target.flash is None or target.core not in DSP_CORES:
        raise DeployError(
            f"int16 weights gain nothing on {target.name} ({target.core}): they are for "
            f"{', '.join(DSP_CORES)}; leave --widen-weights out"
        )
    return target.flash.length - PROGRAM_BYTES


ScheduleOption = Annotated[
    ScheduleName,
    typer.Option(
        "--schedule",
        help="layers: each layer whole; fused: blocks a few rows at a time; rows: also the "
        "network's beginning; auto: the least memory that costs next to no time.",
    ),
]
RamOption = Annotated[
    int | None,
    typer.Option(
        "--ram",
        metavar="BYTES",
        min=1,
        help="RAM for everything, stack included: takes the fastest plan that fits. Default: what "
        "the target has, of which as little is taken as costs next to no time.",
    ),
]
InputOption = Annotated[
    InputMode,
    typer.Option(
        "--input",
        help="image: the whole input lies in RAM; rows: nb_push_row gets it row by row, as from a "
        "camera.",
    ),
]
WidenOption = Annotated[
    bool,
    typer.Option(
        "--widen-weights",
        help="Store weights as int16 where flash has room, in the layers that gain most first: "
        "fewer instructions, the same output bytes.",
    ),
]
KeepDeadOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-dead/--remove-dead",
        help="Channels whose value is known at compile time, or that nothing reads: keep them, or "
        "remove them (no output byte changes). Default: kept in runs, whose budgets are compared; "
        "removed from single models.",
    ),
]
