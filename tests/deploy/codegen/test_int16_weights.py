# SPDX-License-Identifier: Apache-2.0
"""Weights as int16: every byte stays, instructions fall, flash is not overrun."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import random_models
import target_runner

from deploy.backends import ByBackend
from deploy.build.firmware import build_firmware
from deploy.cli import main
from deploy.codegen import plan_model, write_model
from deploy.devices import run_images
from deploy.targets import load_target

PEERS = Path(__file__).parents[2] / "data" / "peers"
SMALL = PEERS / "small_32_int8.tflite"
ROOM = {"constants_limit": 10**9}
KINDS = ("conv_2d", "conv_2d_1x1", "fully_connected", "graph", "behind_relu")
needs_emulator = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)


def model(kind: str, seed: int) -> bytes:
    rng = np.random.default_rng([16, KINDS.index(kind), seed])
    return random_models.graph(rng) if kind == "graph" else random_models.single(kind, rng)


def products(data: bytes) -> list[str]:
    """The matrix products of a model's layers with int16 weights."""
    names = map(product_of, plan_model(data, name="random", **ROOM).flow.layers)
    return [name for name in names if "int16" in name]


def product_of(layer) -> str:
    """The matrix product of a layer on cores with DSP instructions, "" where it has none."""
    found = getattr(layer.params, "gemm", None)
    return found.fast.name if isinstance(found, ByBackend) else ""


@pytest.mark.parametrize("build", ["host", "cortex-m4"])
def test_every_byte_stays(build, tmp_path):
    target_runner.require(build)
    models = [model(kind, seed) for kind in KINDS for seed in range(12)]
    options = [ROOM] * len(models)
    rng = np.random.default_rng(0)
    assert target_runner.run(build, models, rng, tmp_path, options) == "equal"
    names = [name for data in models for name in products(data)]
    assert sum(name.endswith("_single") for name in names) > 2, names
    assert sum("_2_int16" in name for name in names) > 2, names
    assert sum("gemm_1_" in name for name in names) > 2, names


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", ["host", "cortex-m4", "cortex-m7"])
def test_every_byte_stays_slow(build, kind, tmp_path):
    target_runner.require(build)
    models = [model(kind, seed) for seed in range(12, 112)]
    rng = np.random.default_rng(0)
    assert target_runner.run(build, models, rng, tmp_path, [ROOM] * len(models)) == "equal"


def test_flash_that_there_is_is_not_overrun():
    """What gains most for a byte comes first; what does not fit stays int8."""
    data = SMALL.read_bytes()
    narrow = plan_model(data, name="small").plan
    before = narrow.weights_bytes + narrow.tables_bytes
    taken = []
    for room in (-1, 0, 5000, 10**6):
        plan = plan_model(data, name="small", constants_limit=before + room).plan
        assert plan.tables_bytes == narrow.tables_bytes
        taken.append(plan.weights_bytes - narrow.weights_bytes)
        assert taken[-1] <= max(room, 0)
    assert taken[:2] == [0, 0] and 4000 < taken[2] < taken[3]
    # The largest maps lie at the start.
    flow = plan_model(data, name="small", constants_limit=before + 5000).flow
    products = [product_of(layer) for layer in flow.layers if hasattr(layer.params, "gemm")]
    widened = ["int16" in name for name in products]
    assert widened[0] and widened[1] and not widened[-1]


@needs_emulator
def test_instructions_fall(tmp_path):
    """By 6.4 % on the smallest reference model (GCC 12.2.1, -Os)."""
    target = load_target("mps2-an386")
    counts = {}
    for limit in (None, 10**9):
        compilation = plan_model(SMALL.read_bytes(), name="small", constants_limit=limit)
        place = tmp_path / str(limit)
        write_model(compilation, place / "generated")
        build_firmware(place / "generated", target, place / "fw.elf", build_dir=place / "build")
        image = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3), dtype=np.int8)
        result = run_images(target, place / "fw.elf", image)
        counts[limit] = result.instructions, result.outputs.tobytes()
    assert counts[None][1] == counts[10**9][1]
    assert counts[10**9][0] < min(0.945 * counts[None][0], 1_014_000), counts


def test_without_need_it_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(SMALL), "--memory", "--target", "host", "--widen-weights"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--widen-weights" in said and said.count("\n") == 1
