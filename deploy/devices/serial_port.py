# SPDX-License-Identifier: Apache-2.0
"""A board on a serial port (or an emulator's pseudo-terminal or socket) as a stream of bytes."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

from deploy.devices.errors import LinkLostError, PortError


def is_virtual(port: str) -> bool:
    """True where no board can be at the other end: a socket, or a pseudo-terminal.

    Times from there are an emulator's or this machine's, and never a board's.
    """
    return "://" in port or os.path.realpath(port).startswith(("/dev/pts/", "/dev/ttys"))


def _known_ports() -> str:
    from serial.tools import list_ports

    names = [port.device for port in list_ports.comports() if port.vid is not None]
    return f"ports with a USB device: {', '.join(sorted(names))}" if names else "no USB port found"


class SerialPort:
    """An open port.

    Args:
        port: device file (``/dev/ttyACM0``, ``COM3``) or URL (``socket://localhost:3456``).
        baud: bits per second.

    Raises:
        PortError: missing, busy or not permitted; says what to do.
    """

    def __init__(self, port: str, baud: int = 115200) -> None:
        import serial

        self.name = port
        try:
            self._serial: Any = serial.serial_for_url(
                port, baudrate=baud, timeout=0, exclusive=True
            )
        except (serial.SerialException, ValueError, OSError) as error:
            raise self._opening_error(port, error) from error
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.reset_input_buffer()

    @staticmethod
    def _opening_error(port: str, error: Exception) -> PortError:
        if "://" not in port and os.name == "posix" and not Path(port).exists():
            return PortError(
                f"{port}: no such port; plug the board in ({_known_ports()}), or name an emulator"
            )
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EAGAIN, errno.EBUSY):
            return PortError(f"{port} is busy: another program has it open; close that program")
        if number in (errno.EACCES, errno.EPERM):
            return PortError(
                f"{port}: permission denied; add yourself to its group: "
                "sudo usermod -a -G dialout $USER, then log in again"
            )
        text = str(error)
        return PortError(f"cannot open {port}: {text.splitlines()[0] if text else error!r}")

    def read(self, timeout: float) -> bytes:
        """Bytes that have arrived; waits at most ``timeout`` seconds for the first.

        Raises:
            LinkLostError: the port has gone.
        """
        import serial

        try:
            self._serial.timeout = timeout
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            self._serial.timeout = 0
            return first + bytes(self._serial.read(65536))
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkLostError(f"{self.name}: the line was lost ({error})") from error

    def write(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            LinkLostError: the port has gone.
        """
        import serial

        try:
            self._serial.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkLostError(f"{self.name}: the line was lost ({error})") from error

    def close(self) -> None:
        """Give the port back."""
        with contextlib.suppress(Exception):
            self._serial.close()
