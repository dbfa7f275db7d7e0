"""Boards and emulated machines as data: one ``.toml`` file each in this folder.

CMake reads the same files (``firmware/cmake/nb_target.cmake``), so a board is described once.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deploy.errors import DeployError

FOLDER = Path(__file__).resolve().parent

_Bytes = Annotated[int, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Memory(_Table):
    """One memory of the chip.

    Attributes:
        origin: first address.
        length: bytes; the chip's real size, not what an emulator offers.
    """

    origin: Annotated[int, Field(ge=0)]
    length: _Bytes


class Uart(_Table):
    """The serial line that the harness talks over."""

    device: str
    baud: _Bytes


class Emulator(_Table):
    """Which emulator runs the target."""

    qemu_machine: str


class Cycles(_Table):
    """How cycles are estimated from the executed instructions.

    Attributes:
        model: the core whose published timings are applied.
        flash_wait_states: added to each taken branch, whose target the flash has to deliver.
    """

    model: Literal["cortex-m4"]
    flash_wait_states: Annotated[int, Field(ge=0)] = 0


class Target(_Table):
    """A board, an emulated machine, or ``host``.

    Attributes:
        core: what ``-mcpu`` takes, or ``host``.
        fpu: what ``-mfpu`` takes; None for a core without one.
        clock_hz: core clock at full speed.
        port: folder in ``firmware/ports``.
        stack_bytes: reserved for the stack.
        cflags: compiler flags of kernels and generated code.
        file: where it was read from.
    """

    name: str
    description: str
    core: str
    fpu: str | None = None
    clock_hz: _Bytes
    port: str
    stack_bytes: _Bytes | None = None
    cflags: list[str]
    flash: Memory | None = None
    ram: Memory | None = None
    uart: Uart | None = None
    emulator: Emulator | None = None
    cycles: Cycles | None = None
    file: Path

    @model_validator(mode="after")
    def _has_memories(self) -> "Target":
        if self.is_bare_metal and None in (self.flash, self.ram, self.stack_bytes):
            raise ValueError("a bare-metal target needs flash, ram and stack_bytes")
        return self

    @property
    def is_bare_metal(self) -> bool:
        """False for ``host``."""
        return self.core != "host"

    def table_row(self) -> tuple[str, str, str, str, str, str, str]:
        """Name, core, clock, flash, RAM, emulator and description, for a table."""
        return (
            self.name,
            self.core,
            f"{self.clock_hz / 1e6:g} MHz" if self.is_bare_metal else "-",
            f"{self.flash.length / 1000:,.0f} KB" if self.flash else "-",
            f"{self.ram.length / 1000:,.0f} KB" if self.ram else "-",
            f"QEMU {self.emulator.qemu_machine}" if self.emulator else "-",
            self.description,
        )


def target_names() -> list[str]:
    """Names that :func:`load_target` knows."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_target(name: str) -> Target:
    """Load a target by its name, or from a path that ends in ``.toml``.

    Raises:
        DeployError: no such target, or its file is wrong; names file and key.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and path.stem not in target_names():
        raise DeployError(f"unknown target {name}; known: {', '.join(target_names())}")
    try:
        content = tomllib.loads(path.read_text())
        target = Target(**content, file=path.resolve())
    except OSError as error:
        raise DeployError(f"cannot read target file {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise DeployError(f"{path}: not TOML: {error}") from error
    except (ValidationError, TypeError) as error:
        raise DeployError(f"{path}: {_first_problem(error)}") from error
    if target.name != path.stem:
        raise DeployError(f"{path}: name = {target.name!r} differs from the file's name")
    return target


def _first_problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    return f"{key}: {problem['msg']}" if key else str(problem["msg"])
