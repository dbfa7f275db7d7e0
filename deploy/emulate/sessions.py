"""One way to open a firmware in whichever emulator."""

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from deploy.emulate.limits import EMULATORS, MAX_INSTRUCTIONS
from deploy.errors import DeployError
from deploy.serial_link import DeviceLink
from deploy.targets import Target


class Session(Protocol):
    """An emulated device that has booted; a context manager. See :class:`QemuSession`."""

    link: DeviceLink
    banner: dict[str, Any]
    counting: str
    emulator: str

    def infer(self, *, timeout: float = 600.0) -> dict[str, Any]: ...

    def close(self) -> None: ...

    def __enter__(self) -> "Session": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def choose_emulator(target: Target, wanted: str | None) -> str:
    """``wanted``, or where nobody said, QEMU if it knows the target, else Renode.

    Raises:
        DeployError: no such emulator.
    """
    if wanted is not None and wanted not in EMULATORS:
        raise DeployError(f"unknown emulator '{wanted}'; known: {', '.join(EMULATORS)}")
    if wanted is not None:
        return wanted
    known = target.emulator
    return "renode" if known and known.renode and not known.qemu_machine else "qemu"


def open_session(
    target: Target,
    elf: Path,
    *,
    emulator: str | None = None,
    plugin: bool = True,
    max_instructions: int = MAX_INSTRUCTIONS,
) -> Session:
    """A session that is not started yet.

    Args:
        emulator: one of :data:`EMULATORS`; None: see :func:`choose_emulator`.
        plugin: QEMU counts by our plugin.
        max_instructions: an inference that executes more is ended.

    Raises:
        DeployError: the emulator is unknown or not installed, or does not run the target.
    """
    if choose_emulator(target, emulator) == "renode":
        from deploy.emulate.renode import RenodeSession

        return RenodeSession(target, elf, max_instructions=max_instructions)
    from deploy.emulate.qemu import QemuSession

    return QemuSession(target, elf, plugin=plugin, max_instructions=max_instructions)
