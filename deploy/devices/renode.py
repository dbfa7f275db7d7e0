# SPDX-License-Identifier: Apache-2.0
"""Runs firmware on Renode, with exact instruction counts from its own counter.

Renode counts executed instructions a block of code at a time. The firmware's markers read a
variable in the instruction that ends their block, and Renode is told to write the count down at
each such read: so the difference of two counts is exact, however Renode cuts its blocks
(``firmware/arch/armv7m/marker.S``).
"""

import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from deploy.core.errors import DeployError
from deploy.core.places import firmware_root
from deploy.devices.counts import Lap
from deploy.devices.device import INFERENCE_SECONDS
from deploy.devices.emulated import MAX_INSTRUCTIONS, EmulatedDevice
from deploy.devices.errors import CounterError, DeviceError, EmulatorEndedError
from deploy.devices.link import DeviceLink
from deploy.devices.process import EmulatorProcess
from deploy.targets import Target

COUNTING = "renode-executed-instructions"

_OLDEST = (1, 15)
_ANSWER_SECONDS = 300.0  # of a busy machine
_PORT_TRIES = 3
_MARKS = ("begin", "end")
_MONITOR_NUMBER = re.compile(r"^\r*0x([0-9A-F]{16})\s*$", re.MULTILINE)
_INSTALL = (
    "unpack the portable build from https://github.com/renode/renode/releases (1.15 or newer) "
    "and name its folder in RENODE_ROOT, or put its `renode` on PATH"
)


class _PortTakenError(DeviceError):
    """Another program was faster; Renode cannot choose a port by itself."""


def find_renode() -> str:
    """Path of Renode's program: in ``RENODE_ROOT``, on PATH, or in a portable folder.

    A portable folder is what the release's archive unpacks to (``renode_1.16.1_portable``), in the
    current folder, the home folder or /opt.

    Raises:
        DeployError: there is none; says how to install it.
    """
    root = os.environ.get("RENODE_ROOT")
    if root:
        program = shutil.which("renode", path=root)
        if program is None:
            raise DeployError(f"RENODE_ROOT={root} has no program `renode`; {_INSTALL}")
        return program
    if program := shutil.which("renode"):
        return program
    for base in (Path.cwd(), Path.home(), Path("/opt")):
        for folder in sorted(base.glob("renode*portable*"), reverse=True):
            if program := shutil.which("renode", path=str(folder)):
                return program
    raise DeployError(f"renode is not installed; {_INSTALL}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Uart:
    """Byte stream to the socket that Renode connects to the board's UART.

    Not a pseudo-terminal: Renode hands each byte of one to another thread, which takes ten times
    as long on a busy machine.

    ``on_silence`` is called where a read gave nothing.
    """

    def __init__(self, connection: socket.socket, renode: EmulatorProcess, name: str) -> None:
        self.name = name
        self.on_silence: Callable[[], None] | None = None
        self._renode = renode
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, timeout: float) -> bytes:
        self._socket.settimeout(max(timeout, 1e-3))
        try:
            if data := self._socket.recv(65536):
                return data
        except TimeoutError:
            self._renode.check()
            if self.on_silence is not None:
                self.on_silence()
            return b""
        except OSError as error:
            raise self._gone(error.strerror) from error
        raise self._gone("closed")

    def write(self, data: bytes) -> None:
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._gone(error.strerror) from error

    def _gone(self, why: str | None) -> DeviceError:
        tail = self._renode.log_tail()  # waits for the end of a process that is ending
        try:
            self._renode.check()
        except EmulatorEndedError as ended:
            return ended
        return DeviceError(f"{self.name}: the UART has gone ({why}): {tail}")

    def close(self) -> None:
        self._socket.close()


class RenodeDevice(EmulatedDevice):
    """A firmware running on Renode.

    Args:
        target: names the script in ``firmware/renode`` and the UART.
        elf: the firmware.
        max_instructions: an inference that executes more is ended.
        timeout: seconds for one inference, unless a call says otherwise.
        extra: monitor commands before the machine starts.

    Attributes:
        counting: :data:`COUNTING`.

    Raises:
        DeployError: Renode is not installed, has no script for the target, or does not boot it;
            the firmware is another target's.
    """

    counting = COUNTING

    def __init__(
        self,
        target: Target,
        elf: Path,
        *,
        max_instructions: int = MAX_INSTRUCTIONS,
        timeout: float = INFERENCE_SECONDS,
        extra: tuple[str, ...] = (),
    ) -> None:
        if target.emulator is None or target.emulator.renode is None:
            raise DeployError(
                f"target {target.name} has no script for Renode; see `netbooster list targets`"
            )
        super().__init__(target, elf, max_instructions, timeout)
        self._script = firmware_root() / "firmware" / "renode" / f"{target.emulator.renode}.resc"
        self._uart_name = target.emulator.renode_uart
        self._extra = extra
        self._program = find_renode()
        self._uart: _Uart | None = None
        self._seen = 0
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End Renode and remove temporary files."""
        if self._uart is not None:
            self._uart.close()
            self._uart = None
        super().close()

    def infer(self, *, timeout: float | None = None) -> Lap:
        """One inference on the loaded input, with its instructions; see :class:`Device`."""
        assert self._uart is not None
        self._uart.on_silence = self._check_limit
        try:
            self._run(timeout)
        finally:
            self._uart.on_silence = None
        count = self._next_count()
        if count > self._limit:  # between two looks at the running core
            raise self._too_long(f"it took {count:,}")
        return Lap(instructions=count)

    def _boot(self) -> None:
        for attempt in range(_PORT_TRIES):
            port = _free_port()
            self._process = EmulatorProcess(self._command(port), "Renode", monitor=True)
            try:
                connection = self._connect(port)
                break
            except _PortTakenError:
                if attempt == _PORT_TRIES - 1:
                    raise
                self._process.close()
        assert self._process is not None
        name = self._version()
        self.emulator = self._process.name = name
        self._uart = _Uart(connection, self._process, name)
        self.link = DeviceLink(self._uart, timeout=_ANSWER_SECONDS)
        self.banner = self.link.connect(_ANSWER_SECONDS)
        self._check_target("was built for", "build it again")

    def _command(self, port: int) -> list[str]:
        """Renode with what its monitor is to do first."""
        marks = self._elf.address("nb_marks")
        commands = [
            f"$elf=@{self._elf_path.resolve()}",
            f"include @{self._script}",
            *(self._watch(marks + 4 * index, name) for index, name in enumerate(_MARKS)),
            *self._extra,
            f'emulation CreateServerSocketTerminal {port} "uart" false',
            f"connector Connect sysbus.{self._uart_name} uart",
            "start",
        ]
        arguments = [self._program, "--disable-gui", "--console", "--plain"]
        for command in commands:
            arguments += ["-e", command]
        return arguments

    def _connect(self, port: int) -> socket.socket:
        assert self._process is not None
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            self._check_log()
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=5.0)
            if time.monotonic() > deadline:
                raise DeviceError(f"Renode opened no UART: {self._process.log_tail()}")
            time.sleep(0.05)

    def _watch(self, address: int, name: str) -> str:
        script = (
            f"System.IO.File.AppendAllText('{self._path('counts.txt')}', "
            f"'{name} %d' % cpu.ExecutedInstructions + chr(10))"
        )
        return f'sysbus AddWatchpointHook 0x{address:x} 4 1 "{script}"'

    def _version(self) -> str:
        assert self._process is not None
        match = re.search(r"Renode,? (?:version |v)?((\d+)\.(\d+)[.\d]*)", self._process.log())
        if match is None:
            raise DeployError(f"{self._program} is no Renode; {_INSTALL}")
        if (int(match[2]), int(match[3])) < _OLDEST:
            raise DeployError(f"{self._program} is Renode {match[1]}, too old; {_INSTALL}")
        return f"Renode {match[1]}"

    def _check_log(self) -> None:
        """The monitor goes on after a command that failed; we do not."""
        assert self._process is not None
        self._process.check()
        log = self._process.log()
        if "There was an error executing command" in log:
            kind = _PortTakenError if "in use" in log else DeviceError
            raise kind(f"Renode refuses {self._script}: {self._process.log_tail()}")

    def _check_limit(self) -> None:
        """Called while an inference says nothing: counts what it has executed by now."""
        assert self._process is not None
        passes = self._passes()
        if not passes or passes[-1][0] != _MARKS[0]:
            return
        before = len(_MONITOR_NUMBER.findall(self._process.log()))
        self._process.write(b"cpu ExecutedInstructions\n")
        deadline = time.monotonic() + 10.0
        while len(found := _MONITOR_NUMBER.findall(self._process.log())) == before:
            self._process.check()
            if time.monotonic() > deadline:
                return  # a busy machine: the limit in seconds still holds
            time.sleep(0.05)
        if int(found[-1], 16) - passes[-1][1] > self._limit:
            raise self._too_long(self._process.log_tail())

    def _passes(self) -> list[tuple[str, int]]:
        """Every marker that was passed, with the executed instructions at that moment."""
        try:
            lines = [line.split() for line in self._path("counts.txt").read_text().splitlines()]
        except FileNotFoundError:
            return []
        return [(name, int(count)) for name, count in lines]

    def _next_count(self) -> int:
        passes = self._passes()[self._seen :]
        self._seen += len(passes)
        pairs = 1 + self.banner.pushed_rows  # each row, and the end
        if [name for name, _ in passes] != [*_MARKS] * pairs:
            raise CounterError(
                f"{self.emulator}: {len(passes)} markers were passed in one inference of "
                f"{2 * pairs}: the firmware is of another version; build it again"
            )
        counts = [count for _, count in passes]
        return sum(counts[1::2]) - sum(counts[::2])
