# SPDX-License-Identifier: Apache-2.0
"""Every board's firmware: it links into the chip's real memories, small, at the right places."""

import shutil
import struct
from pathlib import Path

import pytest

from deploy.build.elf import Elf
from deploy.build.firmware import build_firmware
from deploy.build.firmware_image import read_image
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.targets import load_target, target_names

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "firmware" / "fake_model"
TINY = ROOT / "data" / "peers" / "mbv2_tiny_144_int8.tflite"
BOARDS = [n for n in target_names() if load_target(n).flash_tool is not None]

pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake")),
    reason="arm-none-eabi-gcc or cmake is not installed",
)


def test_all_boards_of_the_product_are_there():
    assert set(BOARDS) == {
        "nucleo-f446re", "stm32f4-discovery", "netduinoplus2", "stm32f746g-disco",
        "nucleo-f746zg", "nucleo-h743zi2", "nucleo-l4r5zi", "nano-33-ble", "portenta-h7",
    }  # fmt: skip


@pytest.mark.parametrize("name", BOARDS)
def test_board_links_into_its_own_memories(tmp_path, name):
    target = load_target(name)
    result = build_firmware(FAKE, target, tmp_path / "fw.elf")
    elf = Elf(result.elf)
    memories = [target.flash, target.ram, target.fast_ram]
    for section in elf.sections:
        if section.loaded and section.size:
            assert any(
                m.origin <= section.address
                and section.address + section.size <= m.origin + m.length
                for m in memories
                if m is not None
            ), section
    beside_the_core = target.fast_ram or target.ram
    assert elf.address("nb_stack_bottom") == beside_the_core.origin
    assert result.sizes.code < 13_000  # harness, port and the stand-in's own code
    image = read_image(result.elf)
    assert image.address == target.flash.origin
    assert elf.address("nb_image_end") - elf.address("nb_image_start") == len(image.data)
    stack, reset = struct.unpack_from("<II", image.data)
    assert (stack, reset) == (elf.address("nb_stack_top"), elf.address("nb_reset") | 1)


def test_a_clock_that_the_tree_does_not_give_is_refused(tmp_path):
    path = tmp_path / "nucleo-f446re.toml"
    text = load_target("nucleo-f446re").file.read_text()
    path.write_text(text.replace("pll_n = 180", "pll_n = 168"))
    with pytest.raises(DeployError, match="PLL does not give its clock_hz"):
        build_firmware(FAKE, load_target(str(path)), tmp_path / "fw.elf")


def test_too_large_for_the_chip_although_an_emulator_has_more(tmp_path):
    folder = tmp_path / "generated"
    shutil.copytree(FAKE, folder)
    model = folder / "model.c"
    model.write_text(model.read_text().replace("nb_arena[INPUTS + OUTPUTS]", "nb_arena[131000]"))
    with pytest.raises(DeployError, match=r"bytes over netduinoplus2's RAM of 131,072"):
        build_firmware(folder, load_target("netduinoplus2"), tmp_path / "fw.elf")
    # On the F407 stack and variables lie in the core's own memory: the arena has RAM to itself.
    build_firmware(folder, load_target("stm32f4-discovery"), tmp_path / "fw.elf")


@pytest.mark.slow
def test_harness_and_kernels_of_the_tiny_network_take_at_most_24_kb(tmp_path):
    compile_model(TINY.read_bytes(), tmp_path / "generated", name="tiny")
    result = build_firmware(
        tmp_path / "generated", load_target("nucleo-l4r5zi"), tmp_path / "fw.elf"
    )
    # What the compiler wrote for this model beside weights and tables: layers and their settings.
    of_the_model = sum(
        symbol.size
        for name, symbol in Elf(result.elf).symbols.items()
        if name.startswith(("params_", "nb_layers", "nb_model"))
    )
    assert result.sizes.code - of_the_model <= 24_000
    assert result.sizes.code <= 29_000
