# SPDX-License-Identifier: Apache-2.0
"""The firmware that QEMU runs, on Renode's own model of the same board."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deploy.build.firmware import build_firmware
from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.devices import Lap, RenodeDevice, run_images
from deploy.devices.errors import (
    DeviceFaultError,
    EmulatorEndedError,
    EmulatorTooLongError,
)
from deploy.targets import load_target
from deploy.tflite.tflm import TflmModel, tflm_available

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests" / "data" / "peers" / "small_32_int8.tflite"
FAKE = ROOT / "tests" / "firmware" / "fake_model"
TARGET = load_target("mps2-an386")


@dataclass
class Firmware:
    """Built once for all tests here."""

    elf: Path
    host: HostModel

    def images(self, count: int) -> np.ndarray:
        shape = (count, *self.host.input_shape)
        return np.random.default_rng(386).integers(-128, 128, shape, dtype=np.int8)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    folder = tmp_path_factory.mktemp("firmware")
    compile_model(MODEL.read_bytes(), folder / "generated", name="small")
    build_firmware(folder / "generated", TARGET, folder / "firmware.elf")
    host = HostModel(build_host(folder / "generated", folder / "model.so"))
    return Firmware(folder / "firmware.elf", host)


@pytest.fixture(scope="module")
def fake_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf = tmp_path_factory.mktemp("fake") / "firmware.elf"
    build_firmware(FAKE, TARGET, elf)
    return elf


@pytest.fixture(scope="module")
def board(firmware: Firmware) -> Iterator[RenodeDevice]:
    with RenodeDevice(TARGET, firmware.elf) as device:
        yield device
        log = device._process.log()
    assert "[ERROR]" not in log, log


def test_outputs_equal_host_build_and_tflite_micro(board: RenodeDevice, firmware: Firmware) -> None:
    reference = None if tflm_available() else TflmModel(MODEL.read_bytes())
    for image in firmware.images(2):
        board.load_input(image.tobytes())
        board.infer()
        output = board.output()
        assert output == firmware.host.invoke(image).tobytes()
        assert reference is None or output == reference.invoke(image).tobytes()


def test_instructions_equal_those_of_qemu(
    board: RenodeDevice, firmware: Firmware, count_in_qemu
) -> None:
    image = firmware.images(1)[0]
    expected = count_in_qemu(TARGET, firmware.elf, image.tobytes())
    for _ in range(3):
        board.load_input(image.tobytes())
        assert board.infer() == Lap(instructions=expected)


def test_counts_stay_exact_where_every_block_is_cut(fake_elf: Path, count_in_qemu) -> None:
    # A time slice of eleven instructions, so that every few blocks are cut by its end.
    slices = ('emulation SetGlobalQuantum "0.00000044"', "cpu PerformanceInMips 25")
    counts = []
    with RenodeDevice(TARGET, fake_elf, extra=slices) as device:
        for _ in range(5):
            device.load_input(bytes(range(16)))
            counts.append(device.infer().instructions)
    assert counts == [count_in_qemu(TARGET, fake_elf, bytes(range(16)))] * 5


def test_self_test_passes_and_virtual_time_runs(board: RenodeDevice) -> None:
    board.link.self_test()
    stamps = [board.link.command("timestamp")[0] for _ in range(2)]
    first, second = (int(stamp.removeprefix("m-lap-us-")) for stamp in stamps)
    assert 0 < first < second


def test_run_images_takes_renode_too(fake_elf: Path, count_in_qemu) -> None:
    images = np.arange(16, dtype=np.int8).reshape(1, 4, 4, 1)
    result = run_images(TARGET, fake_elf, images, on="renode")
    assert result.outputs.tolist() == [[6 ^ 1, 22 ^ 2, 38 ^ 3, 54 ^ 4]]
    assert result.instructions == count_in_qemu(TARGET, fake_elf, images.tobytes())
    assert result.counting == "renode-executed-instructions"
    assert result.cycles_estimated is None and result.layers == ()
    assert result.emulator.startswith("Renode 1.")


def test_faults_endless_inferences_and_a_killed_emulator(fake_elf: Path) -> None:
    with RenodeDevice(TARGET, fake_elf, max_instructions=20_000_000) as device:
        device.load_input(bytes([86] + [0] * 15))
        with pytest.raises(DeviceFaultError, match="HardFault .*in layer nb_layer_001"):
            device.infer()
    with RenodeDevice(TARGET, fake_elf, max_instructions=20_000_000) as device:
        device.load_input(bytes([88] + [0] * 15))
        with pytest.raises(EmulatorTooLongError, match="no end after 20,000,000 instructions"):
            device.infer()
        os.killpg(device.pid, signal.SIGKILL)
        with pytest.raises(EmulatorEndedError, match="has ended: exit status -9"):
            device.link.command("name")
    with RenodeDevice(TARGET, fake_elf, max_instructions=1_000_000) as device:
        device.load_input(bytes(16))
        with pytest.raises(EmulatorTooLongError, match="no end after 1,000,000 instructions"):
            device.infer()  # of 3,000,000
