# SPDX-License-Identifier: Apache-2.0
"""A device on a serial port: a board, or something that stands for one."""

from pathlib import Path

from deploy.devices.counts import Lap
from deploy.devices.device import INFERENCE_SECONDS, LinkedDevice, elf_of
from deploy.devices.errors import CounterError, WrongDeviceError
from deploy.devices.link import DeviceLink
from deploy.devices.serial_port import SerialPort, is_virtual
from deploy.targets import Target

_ANSWER_SECONDS = 30.0  # to anything but an inference
_BAUD = 115200


class SerialDevice(LinkedDevice):
    """A device on a serial port. Its cycles and its time are measured, unless the port is virtual.

    Args:
        target: which board is expected there.
        port: see :class:`~deploy.devices.serial_port.SerialPort`.
        elf: names functions and layers of a HardFault; None: not named.
        timeout: seconds for one inference, unless a call says otherwise.

    Raises:
        PortError: the port cannot be opened.
        WrongDeviceError: another board, or a clock that is not full speed.
        DeviceError: no answer, or a failed self-test.
    """

    emulator = None

    def __init__(
        self, target: Target, port: str, elf: Path | None, *, timeout: float = INFERENCE_SECONDS
    ) -> None:
        super().__init__(target, elf_of(target, elf), port, timeout)
        virtual = is_virtual(port)
        self._stream = SerialPort(port, target.uart.baud if target.uart else _BAUD)
        try:
            self.link = DeviceLink(self._stream, timeout=min(timeout, _ANSWER_SECONDS))
            self.banner = self.link.connect()
            self._check_target("runs firmware for", "choose the other port, or --target")
            clock = self.banner.clock_hz
            if not virtual and clock != target.clock_hz:
                raise WrongDeviceError(
                    f"{port}: the board runs at {clock} Hz, not at {target.clock_hz}: its "
                    "oscillator did not start; check jumpers and solder bridges of the board"
                )
            if target.is_bare_metal and not virtual:
                self.link.self_test()
        except BaseException:
            self._stream.close()
            raise
        self._counts_cycles = target.is_bare_metal and not virtual
        self._counts_time = self._counts_cycles or not target.is_bare_metal
        self.counting = self.banner.counter if self._counts_cycles else "not timed"
        if not target.is_bare_metal:
            self.counting = "host clock"

    def infer(self, *, timeout: float | None = None) -> Lap:
        """One inference on the loaded input, with its time; see :class:`Device`."""
        report = self._run(timeout)
        if self._counts_cycles and report.ticks is None:
            raise CounterError(
                "the board's cycle counter stands still or wrapped within one inference; "
                "there is no time to report"
            )
        return Lap(
            microseconds=report.microseconds if self._counts_time else None,
            cycles=report.ticks if self._counts_cycles else None,
        )

    def close(self) -> None:
        """Give the port back."""
        self._stream.close()
