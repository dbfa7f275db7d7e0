# SPDX-License-Identifier: Apache-2.0
"""Boards that QEMU does not know, on its machine with the same core."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from deploy import run
from deploy.core.errors import DeployError
from deploy.devices import stand_in
from deploy.targets import load_target

PEER = Path(__file__).parents[2] / "data" / "peers" / "small_32_int8.tflite"


@pytest.mark.parametrize(
    ("board", "machine"),
    [("nano-33-ble", "mps2-an386"), ("nucleo-f446re", "mps2-an386"), ("portenta-h7", "mps2-an500")],
)
def test_the_machine_has_the_boards_core_and_wait_states(board, machine):
    target = load_target(board)
    found = stand_in(target, "qemu")
    assert found is not None and found.core == target.core
    assert found.cycles == target.cycles and found.emulator.qemu_machine
    assert found.name == machine


def test_who_runs_itself_has_none():
    assert stand_in(load_target("mps2-an386"), "qemu") is None
    assert stand_in(load_target("host"), "qemu") is None
    assert stand_in(load_target("nano-33-ble"), "renode") is None
    assert stand_in(load_target("nano-33-ble"), None) is None


def test_a_core_that_no_machine_has_is_refused():
    odd = load_target("nano-33-ble").model_copy(update={"core": "cortex-m85"})
    with pytest.raises(DeployError, match="knows neither target nano-33-ble nor a machine"):
        stand_in(odd, "qemu")


@pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)
def test_the_board_counts_what_its_machine_executes(tmp_path):
    model = Path(shutil.copy(PEER, tmp_path / "small.tflite"))
    image = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3), dtype=np.int8)
    board = run.measure(run.build(model, target="nano-33-ble"), image, on="qemu")
    machine = run.measure(run.build(model, target="mps2-an386"), image, on="qemu")
    assert (board.target, board.stand_in) == ("nano-33-ble", "mps2-an386")
    assert machine.stand_in is None
    assert board.exact.tflm in (True, None) and board.images == machine.images
    assert board.instructions == machine.instructions
    assert board.cycles_estimated > machine.cycles_estimated  # the flash's wait states
    assert board.memory.ram == 0x40000 and board.clock_hz == 64_000_000
