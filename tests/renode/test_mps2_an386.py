"""The firmware that QEMU runs, on Renode's own model of the same board.

Needs Renode 1.15 or newer on PATH, or RENODE_ROOT naming the folder with its `renode` program,
for instance an unpacked portable build; without it these tests are skipped.
"""

import os
import select
import shutil
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deploy.build import build_firmware
from deploy.codegen import compile_model
from deploy.elf import Elf
from deploy.emulate import QemuSession
from deploy.errors import DeployError
from deploy.host_model import HostModel, build_host
from deploy.serial_link import DeviceLink
from deploy.targets import load_target
from deploy.tflm import TflmModel, tflm_available

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests" / "data" / "peers" / "small_32_int8.tflite"
SCRIPT = ROOT / "firmware" / "renode" / "mps2-an386.resc"
TARGET = "mps2-an386"
START_SECONDS = 120
INFER_SECONDS = 300


def find_renode() -> str | None:
    """The `renode` program: in RENODE_ROOT, or on PATH."""
    root = os.environ.get("RENODE_ROOT")
    return shutil.which("renode", path=root) if root else shutil.which("renode")


RENODE = find_renode()
pytestmark = pytest.mark.skipif(
    RENODE is None,
    reason="no Renode on PATH or in RENODE_ROOT; a portable build from "
    "https://github.com/renode/renode/releases is enough",
)


class Pty:
    """Byte stream to Renode's UART terminal."""

    name = "Renode"

    def __init__(self, path: Path, renode: "subprocess.Popen[bytes]", log: Path) -> None:
        self._renode = renode
        self._log = log
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            self._check()
            if time.monotonic() > deadline:
                raise DeployError(f"Renode opened no UART: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        # Raw, and every attribute set: where Renode has no terminal of its own, it opens this one
        # with whatever attributes happen to be in memory.
        attributes = termios.tcgetattr(self._file)
        raw = termios.CS8 | termios.CREAD | termios.CLOCAL
        speed = termios.B115200
        attributes[:6] = [0, 0, raw, 0, speed, speed]
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._file, termios.TCSANOW, attributes)

    def read(self, timeout: float) -> bytes:
        ready, _, _ = select.select([self._file], [], [], timeout)
        if not ready:
            self._check()
            return b""
        return os.read(self._file, 4096)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        os.close(self._file)

    def _check(self) -> None:
        log = self._log.read_text(errors="replace")
        if self._renode.poll() is not None or "Fatal error" in log:
            raise DeployError(f"Renode has ended: {log[-2000:]}")


@dataclass
class Board:
    """A firmware that runs in Renode."""

    link: DeviceLink
    elf: Path
    generated: Path
    counts_file: Path

    def counts(self) -> list[tuple[str, int]]:
        """Every pass of a marker, with `cpu ExecutedInstructions` at that moment."""
        if not self.counts_file.exists():
            return []
        lines = [line.split() for line in self.counts_file.read_text().splitlines()]
        return [(name, int(count)) for name, count in lines]

    def infer(self, image: np.ndarray) -> tuple[bytes, int]:
        """Output bytes of one inference, and its executed instructions."""
        seen = len(self.counts())
        self.link.load_input(image.tobytes())
        self.link.infer(timeout=INFER_SECONDS)
        passes = self.counts()[seen:]
        assert [name for name, _ in passes] == ["nb_mark_begin", "nb_mark_end"]
        return self.link.output(), passes[1][1] - passes[0][1]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("firmware")
    generated = folder / "generated"
    compile_model(MODEL.read_bytes(), generated, name="small")
    elf = folder / "firmware.elf"
    build_firmware(generated, load_target(TARGET), elf)
    symbols = Elf(elf)
    # A short path: Renode's pseudo-terminal is a link there.
    with tempfile.TemporaryDirectory(prefix="nb-renode-") as name:
        run = Path(name)
        counts, log, uart = run / "counts.txt", run / "log.txt", run / "uart"
        # Renode cuts a translated block at a hook, so the count there includes exactly what ran
        # before it. Renode can miss a hook; Board.infer refuses a run in which it did.
        hooks = [
            f'cpu AddHook 0x{symbols.address(mark):x} "System.IO.File.AppendAllText('
            f"'{counts}', '{mark} %d' % self.ExecutedInstructions + chr(10))\""
            for mark in ("nb_mark_begin", "nb_mark_end")
        ]
        commands = [
            f"$elf=@{elf}",
            f"include @{SCRIPT}",
            *hooks,
            f'emulation CreateUartPtyTerminal "uart" "{uart}"',
            "connector Connect sysbus.uart0 uart",
            "start",
        ]
        assert RENODE is not None
        arguments = [RENODE, "--disable-gui", "--console", "--plain"]
        for command in commands:
            arguments += ["-e", command]
        with log.open("wb") as log_file:
            renode = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=log_file, stderr=subprocess.STDOUT
            )
        try:
            pty = Pty(uart, renode, log)
            link = DeviceLink(pty, timeout=START_SECONDS)
            banner = link.wait_for_banner(START_SECONDS)
            assert banner["target"] == TARGET
            yield Board(link, elf, generated, counts)
            pty.close()
        finally:
            renode.kill()
            renode.wait()
            text = log.read_text(errors="replace")
    assert "[ERROR]" not in text, text


def images(board: Board, count: int) -> np.ndarray:
    shape = HostModel(build_host(board.generated, board.elf.with_suffix(".so"))).input_shape
    return np.random.default_rng(386).integers(-128, 128, (count, *shape), dtype=np.int8)


def test_outputs_equal_the_host_build(board: Board) -> None:
    host = HostModel(build_host(board.generated, board.elf.with_suffix(".so")))
    for image in images(board, 3):
        output, _ = board.infer(image)
        assert output == host.invoke(image).tobytes()


def test_outputs_equal_tflite_micro(board: Board) -> None:
    if reason := tflm_available():
        pytest.skip(f"not compared with TFLM: {reason}")
    reference = TflmModel(MODEL.read_bytes())
    for image in images(board, 3):
        output, _ = board.infer(image)
        assert output == reference.invoke(image).tobytes()


def test_instructions_equal_those_of_qemu(board: Board) -> None:
    image = images(board, 1)[0]
    with QemuSession(load_target(TARGET), board.elf) as qemu:
        qemu.link.load_input(image.tobytes())
        expected = qemu.infer()["instructions"]
        exact = qemu.counting == "qemu-tcg-plugin"
    if not exact:
        pytest.skip("this QEMU does not load our counter, so there is nothing exact to compare")
    counts = [board.infer(image)[1] for _ in range(3)]
    assert counts == [expected] * 3


def test_self_test_passes(board: Board) -> None:
    board.link.self_test()


def test_virtual_time_runs(board: Board) -> None:
    stamps = [board.link.command("timestamp")[0] for _ in range(2)]
    first, second = (int(stamp.removeprefix("m-lap-us-")) for stamp in stamps)
    assert 0 < first < second
