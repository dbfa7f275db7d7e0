# SPDX-License-Identifier: Apache-2.0
"""ELF files: what is read of a firmware, and that damaged ones are refused in one line."""

import random
import shutil
import struct
from pathlib import Path

import pytest

from deploy.build.elf import Elf
from deploy.build.firmware import build_firmware
from deploy.build.firmware_image import read_image
from deploy.core.errors import DeployError
from deploy.targets import load_target

FAKE = Path(__file__).resolve().parents[2] / "firmware" / "fake_model"
BOARD = load_target("mps2-an386")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("arm-none-eabi-gcc", "cmake")),
    reason="arm-none-eabi-gcc or cmake is not installed",
)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory) -> Path:
    return build_firmware(FAKE, BOARD, tmp_path_factory.mktemp("elf") / "fw.elf").elf


def test_functions_are_even_addresses_in_order_and_mapping_symbols_are_left_out(firmware):
    elf = Elf(firmware)
    addresses = [function.address for function in elf.functions()]
    assert addresses == sorted(set(addresses)) and all(address % 2 == 0 for address in addresses)
    assert elf.symbols["nb_layer_001"].is_function and not elf.symbols["nb_marks"].is_function
    assert not any(name.startswith("$") for name in elf.symbols)
    with pytest.raises(DeployError, match="has no symbol nb_none; build it again"):
        elf.address("nb_none")


def test_a_stripped_firmware_can_still_be_flashed(firmware, tmp_path):
    data = bytearray(firmware.read_bytes())
    struct.pack_into("<I", data, 32, 0)  # e_shoff
    struct.pack_into("<HHH", data, 46, 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    path = tmp_path / "fw.elf"
    path.write_bytes(data)
    assert read_image(path) == read_image(firmware)
    assert Elf(path).symbols == {}


def _damaged(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return data[: rng.randrange(6, len(data))]
    bad = bytearray(data)
    sections = struct.unpack_from("<I", data, 32)[0]
    low, high = rng.choice([(6, 52), (52, 212), (sections, len(data))])
    for _ in range(rng.randrange(1, 6)):
        bad[rng.randrange(low, high)] = rng.choice((0, 1, 255, rng.randrange(256)))
    return bytes(bad)


def test_damaged_files_are_read_or_refused_in_one_line(firmware, tmp_path):
    data, rng, path = firmware.read_bytes(), random.Random(7), tmp_path / "fw.elf"
    refused = 0
    for _ in range(200):
        path.write_bytes(_damaged(data, rng))
        for read in (Elf, read_image):
            try:
                read(path)
            except DeployError as error:
                refused += 1
                assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 50
