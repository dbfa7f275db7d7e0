# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a device and its line, by type: who decides looks at the type alone."""

from typing import Any

from deploy.core.errors import DeployError


class DeviceError(DeployError):
    """Something about a device, or the line to it."""


class PortError(DeviceError):
    """The port cannot be opened: missing, busy or not permitted."""


class LinkLostError(DeviceError):
    """The port has gone: the cable was pulled, or the other side has closed the line."""


class EmulatorEndedError(DeviceError):
    """The emulator's process has ended.

    Attributes:
        status: its exit status; None where it still runs and only its line is closed.
        log: all that it said.
    """

    def __init__(self, message: str, *, status: int | None, log: str) -> None:
        super().__init__(message)
        self.status = status
        self.log = log


class EmulatorTooLongError(DeviceError):
    """An inference executed more instructions than it may."""


class NoAnswerError(DeviceError):
    """Nothing, or no end of an answer, in time."""


class GarbledAnswerError(DeviceError):
    """An answer that cannot be understood; the message shows the line."""


class RefusedError(DeviceError):
    """The device answered with an error of its own: it did not understand, or cannot."""


class DeviceFaultError(DeviceError):
    """The device reported a HardFault and halted.

    Attributes:
        registers: what it sent.
        function, layer: where it happened, as far as the firmware's symbols tell.
    """

    def __init__(
        self,
        message: str,
        registers: dict[str, Any],
        *,
        function: str | None = None,
        layer: str | None = None,
    ) -> None:
        super().__init__(message)
        self.registers = registers
        self.function = function
        self.layer = layer


class CounterError(DeviceError):
    """There is no count or time to report: the counter stands still, wrapped or is missing."""


class WrongDeviceError(DeviceError):
    """It is a device of ours, but another one: of another target, at another clock, with another
    model."""


# What a noisy line does to an answer: the same command may succeed when it is given again.
NOISE = (NoAnswerError, GarbledAnswerError, RefusedError)


def add_to(error: DeployError, text: str) -> None:
    """Append to an error's message; its type and what it carries stay."""
    error.args = (f"{error}{text}",)
