# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2-Tiny, 144 pixels and 1,000 classes, on the small boards, in their real memories."""

from pathlib import Path

import numpy as np
import pytest

from deploy.build.firmware import build_firmware
from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.devices import RenodeDevice
from deploy.targets import load_target
from deploy.tflite.tflm import TflmModel, tflm_available

MODEL = Path(__file__).resolve().parents[1] / "data" / "peers" / "mbv2_tiny_144_int8.tflite"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flash", "ram"),
    [
        ("nano-33-ble", 960 << 10, 256 << 10),
        ("stm32f4-discovery", 1 << 20, 192 << 10),
    ],
)
def test_it_runs_and_answers_like_every_other_build(
    tmp_path: Path, count_in_qemu, name: str, flash: int, ram: int
) -> None:
    target, machine = load_target(name), load_target("mps2-an386")
    assert (target.flash.length, target.ram_bytes) == (flash, ram)
    generated = tmp_path / "generated"
    compile_model(MODEL.read_bytes(), generated, name="tiny")
    sizes = build_firmware(generated, target, tmp_path / "firmware.elf").sizes
    build_firmware(generated, machine, tmp_path / "machine.elf")
    image = np.random.default_rng(144).integers(-128, 128, (144, 144, 3), dtype=np.int8)
    expected = HostModel(build_host(generated, tmp_path / "model.so")).invoke(image[None])
    assert expected.size == 1000
    if tflm_available() is None:
        assert TflmModel(MODEL.read_bytes()).invoke(image[None]).tobytes() == expected.tobytes()
    with RenodeDevice(target, tmp_path / "firmware.elf") as board:
        board.load_input(image.tobytes())
        counted = board.infer().instructions
        assert board.output() == expected.tobytes()
        stack = board.memory().stack_used
    assert counted == count_in_qemu(machine, tmp_path / "machine.elf", image.tobytes())
    assert stack <= 2048 and sizes.ram_static + stack <= ram and sizes.flash_total <= flash
