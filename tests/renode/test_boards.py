"""The boards' own start-up code and UART on Renode's models of their chips.

Needs Renode 1.15 or newer on PATH, or RENODE_ROOT naming the folder with its `renode` program;
without it these tests are skipped.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deploy.build import build_firmware
from deploy.elf import Elf
from deploy.serial_link import DeviceLink
from deploy.serial_port import SerialPort
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "firmware" / "fake_model"
UARTS = {"stm32f4-discovery": "usart2", "stm32f746g-disco": "usart1", "nano-33-ble": "uart0"}
START_SECONDS = 240
INSTRUCTIONS = 3_000_085  # of the stand-in's inference between the markers, as QEMU counts them


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


@dataclass
class Board:
    """A firmware that runs in Renode."""

    name: str
    link: DeviceLink
    banner: dict
    counts: Path


@pytest.fixture(scope="module", params=sorted(UARTS))
def board(request, tmp_path_factory) -> Iterator[Board]:
    name = request.param
    elf = tmp_path_factory.mktemp("firmware") / "firmware.elf"
    build_firmware(FAKE, load_target(name), elf)
    symbols = Elf(elf)
    # A short path: Renode's pseudo-terminal is a link there.
    with tempfile.TemporaryDirectory(prefix="nb-renode-") as folder:
        counts, log, uart = (Path(folder) / part for part in ("counts.txt", "log.txt", "uart"))
        hooks = [
            f'cpu AddHook 0x{symbols.address(mark):x} "System.IO.File.AppendAllText('
            f"'{counts}', '%d' % self.ExecutedInstructions + chr(10))\""
            for mark in ("nb_mark_begin", "nb_mark_end")
        ]
        commands = [
            f"$elf=@{elf}",
            f"include @{ROOT / 'firmware' / 'renode' / name}.resc",
            *hooks,
            f'emulation CreateUartPtyTerminal "uart" "{uart}"',
            f"connector Connect sysbus.{UARTS[name]} uart",
            "start",
        ]
        arguments = [RENODE, "--disable-gui", "--console", "--plain"]
        for command in commands:
            arguments += ["-e", command]
        with log.open("wb") as log_file:
            renode = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=log_file, stderr=subprocess.STDOUT
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not uart.exists():
                assert renode.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            port = SerialPort(str(uart))
            link = DeviceLink(port, timeout=START_SECONDS)
            yield Board(name, link, link.connect(), counts)
            port.close()
        finally:
            renode.kill()
            renode.wait()


def test_the_boards_own_start_up_reaches_full_speed(board: Board) -> None:
    assert board.banner["target"] == board.name
    assert board.banner["clock_hz"] == load_target(board.name).clock_hz


def test_answers_and_instructions_are_those_of_qemu(board: Board) -> None:
    images = np.arange(32, dtype=np.int8).reshape(2, 16)
    for image, answer in zip(images, ([7, 20, 37, 50], [71, 84, 101, 114]), strict=True):
        board.link.load_input(image.tobytes())
        board.link.infer()
        assert list(board.link.output()) == answer
    first, last, *_ = (int(line) for line in board.counts.read_text().split())
    assert last - first == INSTRUCTIONS


def test_self_test_and_time(board: Board) -> None:
    board.link.self_test()
    stamps = [board.link.command("timestamp")[0] for _ in range(2)]
    first, second = (int(stamp.removeprefix("m-lap-us-")) for stamp in stamps)
    assert 0 < first < second
