# SPDX-License-Identifier: Apache-2.0
"""What every device can do, whatever runs the firmware: an emulator, or a board on a port."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from deploy.build.elf import Elf
from deploy.devices.banner import Banner
from deploy.devices.counts import Lap
from deploy.devices.errors import DeviceFaultError, WrongDeviceError
from deploy.devices.faults import explain_fault
from deploy.devices.link import DeviceLink, Inference, Memory
from deploy.targets import Target

INFERENCE_SECONDS = 600.0


class Device(Protocol):
    """A device that has booted a firmware of ours and waits for commands.

    Attributes:
        where: the port, or the firmware's file in an emulator; for messages.
        banner: what the firmware said of itself.
        counting: where the numbers of a lap come from.
        emulator: its name and version; None for a device on a port.
    """

    where: str
    banner: Banner
    counting: str
    emulator: str | None

    def load_input(self, data: bytes) -> None:
        """Send the bytes of all inputs."""

    def infer(self, *, timeout: float | None = None) -> Lap:
        """Run one inference on the loaded input.

        Args:
            timeout: seconds for it; by default those that the device was opened with.

        Raises:
            DeviceFaultError: a HardFault; names function and layer where the ELF file is known.
            EmulatorTooLongError: it executed more instructions than it may.
            CounterError: it ran, and there is no count or time.
            DeviceError: it gave no answer in time, or the device has gone.
        """

    def output(self) -> bytes:
        """The bytes of all outputs, end to end."""

    def memory(self) -> Memory:
        """The arena, and how much of the stack was ever used."""

    def recover(self) -> None:
        """End a command that was cut off by noise on the line."""

    def close(self) -> None:
        """End the emulator, or give the port back."""


class LinkedDevice(ABC):
    """What all devices share: the firmware's serial protocol over ``link``; a context manager.

    Args:
        target: which target's firmware is expected.
        elf: names functions and layers of a HardFault; None where there is none to read.
        where: see :class:`Device`.
        timeout: seconds for one inference, unless a call says otherwise.
    """

    link: DeviceLink
    banner: Banner
    counting: str
    emulator: str | None

    def __init__(self, target: Target, elf: Elf | None, where: str, timeout: float) -> None:
        self.where = where
        self._target = target
        self._symbols = elf
        self._timeout = timeout

    @abstractmethod
    def infer(self, *, timeout: float | None = None) -> Lap:
        """See :class:`Device`."""

    @abstractmethod
    def close(self) -> None:
        """See :class:`Device`."""

    def load_input(self, data: bytes) -> None:
        """See :class:`Device`."""
        self.link.load_input(data)

    def output(self) -> bytes:
        """See :class:`Device`."""
        return self.link.output()

    def memory(self) -> Memory:
        """See :class:`Device`."""
        return self.link.memory()

    def recover(self) -> None:
        """See :class:`Device`."""
        self.link.synchronize()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, timeout: float | None) -> Inference:
        try:
            return self.link.infer(timeout=self._timeout if timeout is None else timeout)
        except DeviceFaultError as fault:
            raise (explain_fault(fault, self._symbols) if self._symbols else fault) from fault

    def _check_target(self, verb: str, remedy: str) -> None:
        """Refuse a firmware that was built for another target.

        Raises:
            WrongDeviceError: the banner names another one.
        """
        if self.banner.target != self._target.name:
            raise WrongDeviceError(
                f"{self.where} {verb} {self.banner.target}, not for {self._target.name}; {remedy}"
            )


def elf_of(target: Target, path: Path | None) -> Elf | None:
    """The symbols of a firmware; None for a program of this machine, which is another format."""
    return Elf(path) if path is not None and target.is_bare_metal else None
