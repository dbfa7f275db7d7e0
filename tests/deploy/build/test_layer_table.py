# SPDX-License-Identifier: Apache-2.0
"""Layers of a built model: told apart by the counter, named in faults."""

import shutil
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from deploy.build.elf import Elf
from deploy.build.firmware import build_firmware
from deploy.build.layer_table import read_layer_table
from deploy.codegen import plan_model, write_model
from deploy.devices import DeviceFaultError, QemuDevice
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "data" / "peers" / "small_32_int8.tflite"
TARGET = load_target("mps2-an386")
pytestmark = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    compilation = plan_model(MODEL.read_bytes(), name="small", input_mode="rows")
    write_model(compilation, folder / "generated")
    build_firmware(folder / "generated", TARGET, folder / "fw.elf")
    return compilation.plan, folder / "fw.elf"


def test_every_layer_is_counted_and_the_sum_is_the_total(built):
    plan, elf = built
    image = np.random.default_rng(1).integers(-128, 128, plan.input.shape, dtype=np.int8)
    with QemuDevice(TARGET, elf, functions=True) as device:
        device.load_input(image.tobytes())
        count = device.infer()
    assert [layer.symbol for layer in count.layers] == [la.symbol for la in plan.layers]
    for planned, layer in zip(plan.layers, count.layers, strict=True):
        rows = planned.output_shape[1] if planned.stream >= 0 else 1
        assert layer.calls == -(-rows // planned.batch) if planned.stream >= 0 else 1
        assert layer.instructions > planned.macs // 2  # a SMLAD does two
    own = sum(layer.instructions for layer in count.layers)
    assert own + count.outside.instructions == count.instructions
    assert sum(function.instructions for function in count.functions) == count.instructions
    assert own > 0.98 * count.instructions


def _with_bad_pointer(elf: Path, layer: int, out: Path) -> None:
    """The firmware with a layer's input pointing nowhere."""
    data = bytearray(elf.read_bytes())
    entry = Elf(elf).address("nb_layers") + 24 * layer
    for segment in ELFFile(BytesIO(data)).iter_segments("PT_LOAD"):
        place = entry - segment["p_vaddr"]
        if 0 <= place < segment["p_filesz"]:
            struct.pack_into("<I", data, segment["p_offset"] + place + 8, 0xF0000000)
            out.write_bytes(data)
            return
    raise AssertionError(hex(entry))


@pytest.mark.parametrize("number", [8, 9, 15, 20, 22])
def test_a_fault_in_a_kernel_names_the_layer(built, tmp_path, number):
    plan, elf = built
    _with_bad_pointer(elf, number, tmp_path / "fw.elf")
    with QemuDevice(TARGET, tmp_path / "fw.elf") as device:
        device.load_input(bytes(plan.input.bytes))
        with pytest.raises(DeviceFaultError, match="HardFault") as error:
            device.infer()
    assert error.value.layer == plan.layers[number].symbol
    assert f"in layer {plan.layers[number].symbol}" in str(error.value)


def test_addresses_beside_the_entries_are_no_layers(built):
    plan, elf = built
    table = read_layer_table(Elf(elf))
    assert table is not None and table.names == tuple(la.symbol for la in plan.layers)
    assert table.layer_at(table.address + 24) == "nb_layer_001"
    for address in (table.address - 24, table.address + 4, table.address + 24 * len(plan.layers)):
        assert table.layer_at(address) is None
