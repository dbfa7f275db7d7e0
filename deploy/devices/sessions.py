"""A firmware in an emulator: what all emulators share, and one way to open it in whichever."""

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.build.elf import Elf
from deploy.core.errors import DeployError
from deploy.devices.limits import EMULATORS, MAX_INSTRUCTIONS
from deploy.devices.process import EmulatorProcess
from deploy.devices.serial_link import DeviceLink
from deploy.targets import Target


class Session(ABC):
    """A firmware running on an emulator; a context manager.

    Args:
        target: what the firmware was built for.
        elf: the firmware.
        max_instructions: an inference that executes more is ended.

    Attributes:
        link: the firmware's serial protocol.
        banner: what the firmware said when it booted.
        counting: how instructions are counted.
        emulator: name and version.
    """

    link: DeviceLink
    banner: dict[str, Any]
    counting: str
    emulator: str

    def __init__(self, target: Target, elf: Path, max_instructions: int) -> None:
        self._target = target
        self._elf_path = elf
        self._elf = Elf(elf)
        self._limit = max_instructions
        self._process: EmulatorProcess | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @abstractmethod
    def _boot(self) -> None:
        """Start the emulator and wait for the firmware's banner."""

    @abstractmethod
    def infer(self, *, timeout: float = 600.0) -> dict[str, Any]:
        """Run one inference on the loaded input and return its counts, ``instructions`` at least.

        Raises:
            DeployError: the firmware reported an error or a HardFault (names function and
                layer), executed too many instructions, gave no answer in ``timeout`` seconds, or
                the emulator has ended.
        """

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="nb-emulate-")
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the emulator and remove temporary files."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def pid(self) -> int | None:
        """The emulator's process id while it runs."""
        return self._process.pid if self._process else None

    def _path(self, name: str) -> Path:
        """A temporary file of this session."""
        assert self._folder is not None
        return Path(self._folder.name) / name

    def _check_target(self) -> None:
        """Refuse a firmware that was built for another target.

        Raises:
            DeployError: the banner names another one.
        """
        if self.banner.get("target") != self._target.name:
            raise DeployError(
                f"{self._elf_path} was built for {self.banner.get('target')}, "
                f"not for {self._target.name}; build it again"
            )


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
        from deploy.devices.renode import RenodeSession

        return RenodeSession(target, elf, max_instructions=max_instructions)
    from deploy.devices.qemu import QemuSession

    return QemuSession(target, elf, plugin=plugin, max_instructions=max_instructions)
