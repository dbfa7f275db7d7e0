# SPDX-License-Identifier: Apache-2.0
"""An emulator as a child process that speaks over its standard input and output."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import partial
from typing import IO

from deploy.devices.errors import DeviceError, EmulatorEndedError

_LOG_LINES = 5
_PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    """Linux: the emulator ends when we are killed, instead of running on for ever."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # killed before we could ask for it
        os._exit(1)


class EmulatorProcess:
    """A byte stream to the UART of an emulated machine, or to its monitor.

    Args:
        command: program and arguments; the UART is its standard input and output.
        name: for messages.
        monitor: standard input and output are the emulator's monitor instead: what it prints is
            part of its log, and nothing is to be read.
    """

    def __init__(self, command: list[str], name: str, *, monitor: bool = False) -> None:
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._log if monitor else subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                preexec_fn=partial(_die_with, os.getpid()) if sys.platform == "linux" else None,
                start_new_session=True,  # it may be a script: close ends what it started as well
            )
        except OSError as error:
            self._log.close()
            raise DeviceError(f"cannot start {command[0]}: {error.strerror}") from error

    def read(self, timeout: float) -> bytes:
        """Bytes that have arrived; waits at most ``timeout`` seconds for the first.

        Raises:
            EmulatorEndedError: with the end of its log.
        """
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], timeout)
        if not ready:
            return b""
        data = os.read(self._child.stdout.fileno(), 65536)
        if not data:
            raise self._ended()
        return data

    def write(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            EmulatorEndedError: with the end of its log.
        """
        assert self._child.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._child.stdin.write(view) :]
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def check(self) -> None:
        """See that the emulator runs.

        Raises:
            EmulatorEndedError: with the end of its log.
        """
        if self._child.poll() is not None:
            raise self._ended()

    def _ended(self) -> EmulatorEndedError:
        tail = self.log_tail()  # waits for a process that is ending
        return EmulatorEndedError(
            f"{self.name} has ended: {tail}", status=self._child.returncode, log=self.log()
        )

    def log(self) -> str:
        """Everything that the emulator logged so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")

    def log_tail(self) -> str:
        """The last lines of the log, as one line."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=1)
        lines = self.log().strip().splitlines()
        status = self._child.returncode
        ending = "it still runs" if status is None else f"exit status {status}"
        return f"{ending}; {' | '.join(lines[-_LOG_LINES:]) or 'its log is empty'}"

    @property
    def pid(self) -> int:
        """Process id of the emulator."""
        return self._child.pid

    def close(self) -> None:
        """End the emulator, whatever state it is in."""
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()
        self._child.wait()
        self._log.close()
