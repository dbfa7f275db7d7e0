# SPDX-License-Identifier: Apache-2.0
"""What the three reference models cost on the Cortex-M4: upper bounds that must not be passed.

Counted with GCC 12.2.1 (Debian 12.2.rel1) in QEMU 7.2, `-Os`, int8 weights, the default build: no
option but the input. Bounds are about 1 % above what was measured when they were set.
"""

import shutil
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from deploy.build.elf import Elf
from deploy.build.firmware import build_firmware
from deploy.codegen import plan_model, write_model
from deploy.devices import run_images
from deploy.evidence.bench.flash import measure_flash
from deploy.targets import load_target

PEERS = Path(__file__).parents[2] / "data" / "peers"
TARGET = "mps2-an386"
pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)


class Cost(NamedTuple):
    """Instructions of an inference; bytes of RAM with stack; of flash beyond weights and 9 a
    channel, harness and port included; of kernels and generated code alone."""

    instructions: int
    ram: int
    flash: int
    engine: int


# About 1 % above what was counted; RAM by rows at most 6 and 72 KB for the first and the last.
IMAGE = {
    "small_32_int8": Cost(1_084_000, 7_400, 17_150, 10_800),
    "mbv2_tiny_144_int8": Cost(30_620_000, 69_000, 13_450, 13_300),
    "mcunet_in3_176_int8": Cost(89_800_000, 102_000, 14_450, 15_800),
}
ROWS = {
    "small_32_int8": Cost(1_096_000, 6_000, 17_250, 10_900),
    "mbv2_tiny_144_int8": Cost(30_790_000, 34_000, 13_650, 13_550),
    "mcunet_in3_176_int8": Cost(90_300_000, 72_000, 14_700, 16_050),
}
LAYERS = {
    "small_32_int8": Cost(1_064_000, 11_000, 16_800, 10_450),
    "mbv2_tiny_144_int8": Cost(29_940_000, 292_000, 13_100, 12_950),
    "mcunet_in3_176_int8": Cost(87_750_000, 249_500, 14_000, 15_350),
}
MODES = {"image": (IMAGE, "auto", "image"), "rows": (ROWS, "auto", "rows"),
         "layer": (LAYERS, "layer", "image")}  # fmt: skip
MOST_EXTRA = 1.03  # instructions of any schedule, by those of layer by layer


@cache
def measured(name: str, mode: str, folder: Path) -> Cost:
    _, schedule, pushed = MODES[mode]
    data = (PEERS / f"{name}.tflite").read_bytes()
    compilation = plan_model(data, name=name, schedule=schedule, input_mode=pushed)
    place = folder / f"{name}-{mode}"
    write_model(compilation, place / "generated")
    target = load_target(TARGET)
    built = build_firmware(place / "generated", target, place / "fw.elf", build_dir=place / "build")
    image = np.random.default_rng(1).integers(
        -128, 128, (1, *compilation.plan.input.shape[1:]), dtype=np.int8
    )
    result = run_images(target, place / "fw.elf", image)
    map_text = (place / "build" / "firmware.map").read_text()
    flash = measure_flash(Elf(place / "fw.elf"), map_text, compilation)
    ram = built.sizes.ram_static + result.memory.stack_used
    return Cost(result.instructions, ram, flash.beyond, flash.engine)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bounds")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IMAGE)
def test_costs_stay_within_their_bounds(name, mode, folder, record_property):
    found, bound = measured(name, mode, folder), MODES[mode][0][name]
    record_property("cost", str(found))
    print(f"{name} {mode}: {found}")
    assert all(a <= b for a, b in zip(found, bound, strict=True)), (found, bound)


@pytest.mark.parametrize("mode", ["image", "rows"])
@pytest.mark.parametrize("name", IMAGE)
def test_streaming_costs_at_most_3_percent(name, mode, folder):
    layer, streamed = measured(name, "layer", folder), measured(name, mode, folder)
    assert streamed.instructions <= MOST_EXTRA * layer.instructions, (streamed, layer)
    assert streamed.ram < layer.ram
