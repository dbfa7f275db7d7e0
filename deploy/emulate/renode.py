"""Runs firmware on Renode, with exact instruction counts from its own counter.

Renode counts executed instructions a block of code at a time. The firmware's markers read a
variable in the instruction that ends their block, and Renode is told to write the count down at
each such read: so the difference of two counts is exact, however Renode cuts its blocks
(``firmware/ports/cortex_m/marker.c``).
"""

import contextlib
import os
import re
import select
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.build import firmware_root
from deploy.emulate.limits import MAX_INSTRUCTIONS, limit_error
from deploy.emulate.process import EmulatorProcess
from deploy.emulate.sessions import Session
from deploy.errors import DeployError
from deploy.faults import explain_fault
from deploy.serial_link import DeviceFaultError, DeviceLink
from deploy.targets import Target

COUNTING = "renode-executed-instructions"

_OLDEST = (1, 15)
_ANSWER_SECONDS = 300.0  # Renode takes a thread's turn a byte, which a busy machine grants late
_MARKS = ("begin", "end")
_MONITOR_NUMBER = re.compile(r"^0x([0-9A-F]{16})\s*$", re.MULTILINE)
_INSTALL = (
    "unpack the portable build from https://github.com/renode/renode/releases (1.15 or newer) "
    "and name its folder in RENODE_ROOT, or put its `renode` on PATH"
)


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


class _Uart:
    """Byte stream to the pseudo-terminal that Renode connects to the board's UART.

    ``on_silence`` is called where a read gave nothing.
    """

    def __init__(self, path: Path, renode: EmulatorProcess, name: str) -> None:
        import termios  # not on Windows

        self.name = name
        self.on_silence: Callable[[], None] | None = None
        self._renode = renode
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        # Every attribute set: where Renode has no terminal of its own, it opens this one with
        # whatever attributes happen to be in memory.
        attributes = termios.tcgetattr(self._file)
        attributes[:6] = [
            0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, termios.B115200,
            termios.B115200,
        ]  # fmt: skip
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._file, termios.TCSANOW, attributes)

    def read(self, timeout: float) -> bytes:
        ready, _, _ = select.select([self._file], [], [], timeout)
        if ready:
            with contextlib.suppress(OSError):  # the other end has closed: say why below
                return os.read(self._file, 65536)
        self._renode.check()
        if self.on_silence is not None:
            self.on_silence()
        return b""

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._renode.check()
            raise DeployError(f"{self.name}: the UART has gone ({error.strerror})") from error

    def close(self) -> None:
        os.close(self._file)


class RenodeSession(Session):
    """A firmware running on Renode; a context manager.

    Args:
        target: names the script in ``firmware/renode`` and the UART.
        elf: the firmware.
        max_instructions: an inference that executes more is ended.
        extra: monitor commands before the machine starts.

    Attributes:
        link: the firmware's serial protocol.
        banner: what the firmware said when it booted.
        counting: :data:`COUNTING`.
        emulator: name and version.
    """

    counting = COUNTING

    def __init__(
        self,
        target: Target,
        elf: Path,
        *,
        max_instructions: int = MAX_INSTRUCTIONS,
        extra: tuple[str, ...] = (),
    ) -> None:
        if target.emulator is None or target.emulator.renode is None:
            raise DeployError(
                f"target {target.name} has no script for Renode; see `netbooster targets`"
            )
        super().__init__(target, elf, max_instructions)
        self._script = firmware_root() / "firmware" / "renode" / f"{target.emulator.renode}.resc"
        self._uart_name = target.emulator.renode_uart
        self._extra = extra
        self._program = find_renode()
        self._uart: _Uart | None = None
        self._seen = 0

    def close(self) -> None:
        """End Renode and remove temporary files."""
        if self._uart is not None:
            self._uart.close()
            self._uart = None
        super().close()

    def infer(self, *, timeout: float = 600.0) -> dict[str, Any]:
        """Run one inference on the loaded input and return ``{"instructions": N}``.

        Raises:
            DeployError: the firmware reported an error or a HardFault (names function and
                layer), executed too many instructions, gave no answer in ``timeout`` seconds, or
                Renode has ended.
        """
        assert self._uart is not None
        self._uart.on_silence = self._check_limit
        try:
            self.link.infer(timeout=timeout)
        except DeviceFaultError as fault:
            raise explain_fault(fault, self._elf) from fault
        finally:
            self._uart.on_silence = None
        return {"instructions": self._next_count()}

    def _boot(self) -> None:
        uart, marks = self._path("uart"), self._elf.address("nb_marks")
        commands = [
            f"$elf=@{self._elf_path.resolve()}",
            f"include @{self._script}",
            *(self._watch(marks + 4 * index, name) for index, name in enumerate(_MARKS)),
            *self._extra,
            f'emulation CreateUartPtyTerminal "uart" "{uart}"',
            f"connector Connect sysbus.{self._uart_name} uart",
            "start",
        ]
        arguments = [self._program, "--disable-gui", "--console", "--plain"]
        for command in commands:
            arguments += ["-e", command]
        self._process = EmulatorProcess(arguments, "Renode", monitor=True)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not uart.exists():
            self._check_log()
            if time.monotonic() > deadline:
                raise DeployError(f"Renode opened no UART: {self._process.log_tail()}")
            time.sleep(0.05)
        self.emulator = self._process.name = self._version()
        self._uart = _Uart(uart, self._process, self.emulator)
        self.link = DeviceLink(self._uart, timeout=_ANSWER_SECONDS)
        self.banner = self.link.connect(max(1.0, deadline - time.monotonic()))
        self._check_target()

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
        if "There was an error executing command" in self._process.log():
            raise DeployError(f"Renode refuses {self._script}: {self._process.log_tail()}")

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
            raise limit_error(self.emulator, self._limit, self._process.log_tail())

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
        pairs = 1 + int(self.banner.get("pushed_rows", 0))  # each row, and the end
        if [name for name, _ in passes] != [*_MARKS] * pairs:
            raise DeployError(
                f"{self.emulator}: {len(passes)} markers were passed in one inference of "
                f"{2 * pairs}: the firmware is of another version; build it again"
            )
        counts = [count for _, count in passes]
        return sum(counts[1::2]) - sum(counts[::2])
