# SPDX-License-Identifier: Apache-2.0
"""The boards' own start-up code and UART on Renode's models of their chips."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.build.firmware import build_firmware
from deploy.devices import Lap, RenodeDevice
from deploy.targets import load_target, target_names

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "firmware" / "fake_model"
BOARDS = [
    name
    for name in target_names()
    if (known := load_target(name).emulator) and known.renode and not known.qemu_machine
]
QEMU_OF = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}


def test_the_boards_of_the_product_are_there() -> None:
    assert {"stm32f4-discovery", "stm32f746g-disco", "nucleo-h743zi2", "nano-33-ble"} <= {*BOARDS}


@pytest.fixture(scope="module", params=BOARDS)
def board(request, tmp_path_factory) -> Iterator[RenodeDevice]:
    target = load_target(request.param)
    elf = tmp_path_factory.mktemp("firmware") / "firmware.elf"
    build_firmware(FAKE, target, elf)
    with RenodeDevice(target, elf) as device:
        yield device


def test_the_boards_own_start_up_reaches_full_speed(board: RenodeDevice) -> None:
    target = load_target(board.banner.target)
    assert board.banner.clock_hz == target.clock_hz
    assert board.banner.counter == "dwt"


def test_answers_and_instructions_are_those_of_qemu(
    board: RenodeDevice, tmp_path: Path, count_in_qemu
) -> None:
    machine = load_target(QEMU_OF[load_target(board.banner.target).core])
    build_firmware(FAKE, machine, tmp_path / "firmware.elf")
    expected = count_in_qemu(machine, tmp_path / "firmware.elf", bytes(range(16)))
    images = np.arange(32, dtype=np.int8).reshape(2, 16)
    for image, answer in zip(images, ([7, 20, 37, 50], [71, 84, 101, 114]), strict=True):
        board.load_input(image.tobytes())
        assert board.infer() == Lap(instructions=expected)
        assert list(board.output()) == answer


def test_self_test_and_time(board: RenodeDevice) -> None:
    board.link.self_test()
    stamps = [board.link.command("timestamp")[0] for _ in range(2)]
    first, second = (int(stamp.removeprefix("m-lap-us-")) for stamp in stamps)
    assert 0 < first < second
