# SPDX-License-Identifier: Apache-2.0
"""`netbooster bench`, `plan` and the options of `compile`, on the emulator."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from deploy.build.elf import Elf
from deploy.cli import main
from deploy.codegen import Plan, plan_model
from deploy.core.errors import DeployError
from deploy.devices import QemuDevice
from deploy.evidence.bench import Settings, bench_model
from deploy.evidence.memory_map import map_entries, needed_bytes, render_map
from deploy.schedule.memory import STATIC_BYTES, arena_limit
from deploy.targets import load_target, target_names

PEERS = Path(__file__).parents[1] / "data" / "peers"
SMALL = PEERS / "small_32_int8.tflite"
emulator = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)
# Counted with GCC 12.2.1; an upper bound, so that a kernel that gets slower is noticed.
MOST_INSTRUCTIONS = {"image": 1_800_000, "rows": 1_860_000}


def run(capfd, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


@emulator
@pytest.mark.parametrize("mode", ["image", "rows"])
def test_json_has_the_promised_shape(mode, tmp_path, capfd):
    folder = tmp_path / "kept"
    code, out, err = run(
        capfd, "bench", SMALL, "--input", mode, "--json", "--profile", "--keep", folder
    )
    assert code == 0, err
    record = json.loads(out)
    assert isinstance(record["instructions"], int) and isinstance(record["cycles_estimated"], int)
    assert {"activations", "scratch", "stack", "total"} <= record["ram"].keys()
    assert {"code", "tables", "weights", "total"} <= record["flash"].keys()
    for layer in record["layers"]:
        assert {"name", "op", "kernel", "instructions", "macs"} <= layer.keys()
    assert record["exact"] is True or "tflite-micro" in record["not_compared"]
    assert 0 < record["instructions"] <= MOST_INSTRUCTIONS[mode]
    assert record["cycles_estimated"] > record["instructions"]
    assert record["input"] == mode and "GCC" in record["compiler"] or "gcc" in record["compiler"]

    layers = sum(layer["instructions"] for layer in record["layers"])
    assert abs(layers / record["instructions"] - 1) < 0.02
    functions = sum(function["instructions"] for function in record["functions"])
    assert functions == record["instructions"]
    assert (
        sum(f["bytes_loaded"] for f in record["functions"])
        > sum(layer["bytes_loaded"] for layer in record["layers"])
        > 2 * record["macs"] / 16
    )  # no less than the weights, which are words of four

    ram, flash = record["ram"], record["flash"]
    assert ram["total"] == sum(ram[k] for k in ("activations", "scratch", "static", "stack"))
    assert flash["total"] == flash["code"] + flash["tables"] + flash["weights"]
    assert 0.3 * flash["code"] < flash["engine"] < flash["code"]
    plan = Plan.load(folder / "generated" / "plan.json")
    assert ram["activations"] + ram["scratch"] == plan.arena_bytes
    assert plan.input_mode == mode
    elf = Elf(folder / "mps2-an386.elf")
    assert ram["static"] == elf.size(".data") + elf.size(".bss")
    assert elf.size(".nb_arena") == plan.arena_bytes
    assert flash["weights"] == plan.weights_bytes
    assert flash["tables"] == plan.tables_bytes


@emulator
def test_firmware_reports_the_planned_memory(tmp_path):
    settings = Settings(folder=tmp_path)
    target = load_target("mps2-an386")
    record = bench_model(SMALL.read_bytes(), "small", target, settings)
    with QemuDevice(target, tmp_path / "mps2-an386.elf") as device:
        image = np.random.default_rng(0).integers(0, 256, 32 * 32 * 3, dtype=np.uint8)
        device.load_input(image.tobytes())
        assert device.infer().instructions == record["instructions"]
        memory = device.memory()
    assert memory.arena_bytes == record["ram"]["activations"] + record["ram"]["scratch"]
    assert 0 < record["ram"]["stack"] <= memory.stack_bytes


@emulator
def test_table_for_people(capfd):
    code, out, _ = run(capfd, "bench", SMALL, "--schedule", "layers", "--profile")
    assert code == 0
    for word in ("nb_depthwise_copy_rows", "MAC an instruction", "random inputs"):
        assert word in out


@pytest.mark.parametrize(("mode", "schedule"), [("image", "auto"), ("rows", "auto"),
                                                ("image", "layer")])  # fmt: skip
def test_the_map_agrees_with_the_plan(mode, schedule):
    compilation = plan_model(SMALL.read_bytes(), name="small", schedule=schedule, input_mode=mode)
    plan = compilation.plan
    found = map_entries(compilation)
    assert max(piece.offset + piece.bytes for piece in found) == plan.arena_bytes
    assert max(needed_bytes(compilation)) == plan.arena_lower_bound
    assert {"input", "output", "activation", "scratch"} <= {piece.kind for piece in found}
    text = render_map(compilation)
    assert text == render_map(compilation)
    root = ElementTree.fromstring(text)
    shapes = [e for e in root.iter() if e.tag.endswith("polygon")]
    assert len(shapes) >= len(found)
    top, bottom = 64.0, 584.0
    for shape in shapes:
        points = [tuple(map(float, p.split(","))) for p in shape.get("points").split()]
        assert all(84 <= x <= 1144.1 and top - 0.1 <= y <= bottom + 0.1 for x, y in points)


def test_the_plan_is_printed_and_drawn(tmp_path, capfd):
    picture = tmp_path / "map.svg"
    code, out, err = run(capfd, "inspect", SMALL, "--memory", "--input", "rows", "--svg", picture)
    assert code == 0, err
    assert "in stream 0" in out and "arena of" in out and "fullest at" in out
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_model_that_does_not_fit_says_where(tmp_path, capfd):
    code, _, err = run(capfd, "compile", SMALL, "-o", tmp_path / "x", "--ram", "5000")
    assert code == 2
    for word in ("layer:", "fused:", "rows:", "bytes too many at"):
        assert word in err
    assert not (tmp_path / "x").exists()
    code, _, err = run(capfd, "inspect", SMALL, "--memory", "--ram", "1000")
    assert code == 2 and "stack" in err


def test_ram_decides_between_schedules(tmp_path, capfd):
    """Plenty of RAM: layer by layer; little: in rows; in between never more than there is."""
    arenas = {}
    for ram in (40_000, 11_300):
        folder = tmp_path / str(ram)
        assert run(capfd, "compile", SMALL, "-o", folder, "--ram", ram)[0] == 0
        plan = Plan.load(folder / "plan.json")
        assert plan.arena_bytes <= ram - 2048 - STATIC_BYTES
        arenas[ram] = len(plan.streams)
    assert arenas[40_000] == 0 < arenas[11_300]


def test_compile_options(tmp_path, capfd):
    for arguments, check in (
        (["--schedule", "layers"], lambda plan: not plan.streams),
        (["--input", "rows"], lambda plan: plan.input_mode == "rows"),
    ):
        folder = tmp_path / arguments[1]
        assert run(capfd, "compile", SMALL, "-o", folder, *arguments)[0] == 0
        assert check(Plan.load(folder / "plan.json"))
    code, _, err = run(capfd, "compile", SMALL, "--schedule", "layers", "--input", "rows")
    assert code == 2 and "needs the whole image" in err


def test_the_arena_never_gets_what_the_stack_has():
    for name in target_names():
        target = load_target(name)
        limit = arena_limit(target)
        if not target.is_bare_metal:
            assert limit is None
            continue
        assert target.ram is not None and limit is not None and target.stack_bytes is not None
        assert 0 < limit <= target.ram.length
        if target.fast_ram is None:
            assert limit == target.ram.length - target.stack_bytes - STATIC_BYTES
    with pytest.raises(DeployError, match="stack"):
        arena_limit(load_target("mps2-an386"), 2000)
    with pytest.raises(DeployError, match="at least 4"):
        bench_model(b"", "x", load_target("mps2-an386"), Settings(inputs=3))
