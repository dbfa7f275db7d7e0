# SPDX-License-Identifier: Apache-2.0
"""A pseudo-terminal in place of a board's serial port, with a cable that can be pulled."""

import contextlib
import os
import pty
import select
import subprocess
import threading
import tty
from pathlib import Path


class PtyBoard:
    """A firmware (or an emulator) behind ``port``, a path that stays the same over a replug.

    Args:
        command: the program; its standard input and output are the board's UART.
        port: where the port's device file appears.
    """

    def __init__(self, command: list[str], port: Path) -> None:
        self._command = command
        self.port = port
        self._child: subprocess.Popen[bytes] | None = None
        self.plugs = 0
        self.unplug_after: int | None = None  # bytes from the host, then the cable is pulled
        self.noise = b""  # put once before what the device says next
        self.plug()

    def plug(self) -> None:
        """Power the board up and let the port appear."""
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(os.ttyname(self._slave))
        self.plugs += 1
        self._thread = threading.Thread(
            target=self._pump, args=(self._child, self._master), daemon=True
        )
        self._thread.start()

    def _pump(self, child: "subprocess.Popen[bytes]", master: int) -> None:
        received = 0
        with contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([master, child.stdout], [], [], 0.2)
                if master in ready:
                    data = os.read(master, 4096)
                    received += len(data)
                    child.stdin.write(data)
                    if self.unplug_after is not None and received >= self.unplug_after:
                        self.unplug_after = None
                        self._pull(child, master)
                        self.plug()
                        return
                if child.stdout in ready:
                    data = os.read(child.stdout.fileno(), 4096)
                    if not data:
                        return
                    os.write(master, self.noise + data)
                    self.noise = b""

    def _pull(self, child: "subprocess.Popen[bytes]", master: int) -> None:
        self.port.unlink(missing_ok=True)
        child.kill()
        child.wait()
        for file in (self._slave, master):
            with contextlib.suppress(OSError):
                os.close(file)

    def unplug(self) -> None:
        """Pull the cable for good."""
        child, self._child = self._child, None
        if child is not None:
            self._pull(child, self._master)
