# SPDX-License-Identifier: Apache-2.0
"""Boards and emulated machines as data: one ``.toml`` file each in this folder.

CMake reads the same files (``firmware/cmake/nb_target.cmake``), so a board is described once.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deploy.core.errors import DeployError

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
    """Which emulators run the target.

    Attributes:
        qemu_machine: what ``-machine`` takes.
        qemu_serial: which of the machine's serial ports is the target's UART.
        renode: the script in ``firmware/renode``, without ``.resc``.
        renode_uart: name of the target's UART in Renode's platform.
    """

    qemu_machine: str | None = None
    qemu_serial: Annotated[int, Field(ge=0, le=15)] = 0
    renode: str | None = None
    renode_uart: str | None = None

    @model_validator(mode="after")
    def _names_the_uart(self) -> "Emulator":
        if (self.renode is None) != (self.renode_uart is None):
            raise ValueError("renode and renode_uart are given together")
        return self


class Cycles(_Table):
    """How cycles are estimated from the executed instructions.

    Attributes:
        model: the core whose published timings are applied.
        flash_wait_states: added to each taken branch, whose target the flash has to deliver.
    """

    model: Literal["cortex-m4"]
    flash_wait_states: Annotated[int, Field(ge=0)] = 0


class Flash(_Table):
    """How a board gets its firmware.

    Attributes:
        tools: programs that can do it, the first choice first.
        pyocd_target: what ``pyocd --target`` takes.
        openocd_config: what ``openocd -f`` takes: a board or interface and target files.
        usb: ``vendor:product`` of the boot loader, for dfu-util.
        volume: label of the drive that the board's probe or boot loader shows.
        uf2_family: family of the UF2 format, where the drive takes UF2 files and not binaries.
    """

    tools: list[Literal["pyocd", "openocd", "st-flash", "bossac", "dfu-util", "copy"]]
    pyocd_target: str | None = None
    openocd_config: list[str] = []
    usb: str | None = None
    volume: str | None = None
    uf2_family: _Bytes | None = None


class Energy(_Table):
    """What the data sheet says about the supply current, for an estimate.

    Attributes:
        microamps_per_mhz: of core and memories at full speed, running from flash.
        volts: the supply that the figure is for.
        source: where the figure stands.
    """

    microamps_per_mhz: Annotated[float, Field(gt=0)]
    volts: Annotated[float, Field(gt=0)]
    source: str


class Target(_Table):
    """A board, an emulated machine, or ``host``.

    Attributes:
        core: what ``-mcpu`` takes, or ``host``.
        fpu: what ``-mfpu`` takes; None for a core without one.
        clock_hz: core clock at full speed.
        port: folder in ``firmware/ports``.
        port_family: another such folder, with what several ports share.
        board: pins, UART and clock tree, for the port; becomes ``NB_BOARD_...`` in C.
        fast_ram: memory beside the core (CCM, DTCM) for stack and variables; the arena lies in
            ``ram``.
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
    port_family: str | None = None
    stack_bytes: _Bytes | None = None
    cflags: list[str]
    flash: Memory | None = None
    ram: Memory | None = None
    fast_ram: Memory | None = None
    board: dict[str, int | str] = {}
    uart: Uart | None = None
    emulator: Emulator | None = None
    cycles: Cycles | None = None
    flash_tool: Flash | None = None
    energy: Energy | None = None
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

    @property
    def emulators(self) -> list[str]:
        """Emulators that run the target's firmware; empty: no emulator ever ran it."""
        if self.emulator is None:
            return []
        names = {"QEMU": self.emulator.qemu_machine, "Renode": self.emulator.renode}
        return [f"{name} {machine}" for name, machine in names.items() if machine is not None]

    @property
    def runs_here(self) -> bool:
        """False for a board that no emulator knows: its firmware needs the board."""
        return not self.is_bare_metal or bool(self.emulators)

    @property
    def reference(self) -> str:
        """What :func:`load_target` takes to find it again: its name, or the path of its file."""
        return self.name if self.file.parent == FOLDER else str(self.file)

    @property
    def ram_bytes(self) -> int:
        """All RAM that the firmware may use."""
        return sum(memory.length for memory in (self.ram, self.fast_ram) if memory)

    def table_row(self) -> tuple[str, str, str, str, str, str, str]:
        """Name, core, clock, flash, RAM, what runs it and description, for a table."""
        untried = "none: unverified" if self.is_bare_metal else "-"
        return (
            self.name,
            self.core,
            f"{self.clock_hz / 1e6:g} MHz" if self.is_bare_metal else "-",
            f"{self.flash.length / 1000:,.0f} KB" if self.flash else "-",
            f"{self.ram_bytes / 1000:,.0f} KB" if self.ram else "-",
            ", ".join(self.emulators) or untried,
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
