# SPDX-License-Identifier: Apache-2.0
"""Nets of the same kinds as the reference models: nothing is special to those three files.

Upper bounds of instructions, counted with GCC 12.2.1 (Debian 12.2.rel1) in QEMU 7.2, `-Os`, about
3 % above what was measured when they were set; and the ratio of MACs per instruction that
`tools/bench_variants.py` prints.
"""

import importlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.targets import load_target
from deploy.tflite import read_graph

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "tests" / "data" / "peers"
needs_emulator = pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)
sys.path.insert(0, str(ROOT / "tools"))
engine_variants = importlib.import_module("engine_variants")
bench = importlib.import_module("bench_variants")
sys.path.remove(str(ROOT / "tools"))
Change = engine_variants.Change

# Variants of small_32_int8.
BOUNDS = {
    Change(width=0.75): 778_000,
    Change(width=1.1): 1_306_000,  # channels 9, 18, 26, 35, 70, 106: hardly a multiple of 4
    Change(kernel=5): 1_366_000,
    Change(resolution=28): 953_000,  # maps of 7 and 4 pixels
    Change(classes=100): 1_126_000,
}
# Where narrow layers make too few MACs an output: what the whole net reaches at least.
NARROW = {
    ("small_32_int8", "width x0.5"): 0.735,
    ("small_32_int8", "width x0.75"): 0.87,
    ("mbv2_tiny_144_int8", "width x0.75"): 0.875,
    ("mcunet_in3_176_int8", "48 px"): 0.88,  # its last maps have 2 x 2 pixels, its kernels 7 x 7
}


@pytest.fixture(scope="module")
def reference():
    return bench.measure(
        (PEERS / "small_32_int8.tflite").read_bytes(), "small", target(), compare=False
    )


def target():
    return load_target("mps2-an386")


@needs_emulator
@pytest.mark.parametrize("change", BOUNDS, ids=lambda change: change.name)
def test_small_variants_stay_within_their_bounds(change, reference, record_property):
    data = engine_variants.make_variant((PEERS / "small_32_int8.tflite").read_bytes(), change)
    found = bench.measure(data, change.name, target())
    ratio = found["macs_per_instruction"] / reference["macs_per_instruction"]
    print(f"{change.name}: {found['instructions']:,} instructions, ratio {ratio:.3f}")
    record_property("instructions", found["instructions"])
    assert found["exact"] is not False
    assert found["instructions"] <= BOUNDS[change]
    assert ratio >= NARROW.get(("small_32_int8", change.name), bench.LEAST)


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("peer", bench.VARIANTS)
def test_variants_reach_their_originals(peer):
    original = (PEERS / f"{peer}.tflite").read_bytes()
    reached = bench.measure(original, peer, target(), compare=False)["macs_per_instruction"]
    below = []
    for change in bench.VARIANTS[peer]:
        data = engine_variants.make_variant(original, change)
        found = bench.measure(data, f"{peer}, {change.name}", target())
        assert found["exact"] is not False, change.name
        ratio = found["macs_per_instruction"] / reached
        if ratio < NARROW.get((peer, change.name), bench.LEAST):
            below.append((change.name, ratio))
    assert not below


@pytest.mark.parametrize("peer", bench.VARIANTS)
def test_variants_are_of_the_same_kind(peer):
    """Same operators in the same order, with the shapes that were asked for."""
    original = (PEERS / f"{peer}.tflite").read_bytes()
    change = Change(width=0.6, kernel=5, resolution=40, classes=7)
    before = read_graph(original, "original")
    after = read_graph(engine_variants.make_variant(original, change), "variant")
    assert [op.kind for op in after.operators] == [op.kind for op in before.operators]
    assert after.tensors[after.inputs[0]].shape == (1, 40, 40, 3)
    assert after.tensors[after.outputs[0]].shape[-1] == 7
    for old, new in zip(before.operators, after.operators, strict=True):
        if old.kind == "DEPTHWISE_CONV_2D":
            assert after.input(new, 1).shape[1:3] == (5, 5)
        if old.kind == "CONV_2D":
            assert after.output(new).shape[3] == round(before.output(old).shape[3] * 0.6 + 1e-9)
            assert after.input(new, 1).data.std() > 20
    same = engine_variants.make_variant(original, change)
    assert same == engine_variants.make_variant(original, change)
    assert same != engine_variants.make_variant(original, change, seed=1)


def test_costs_explain_the_layers_that_they_come_from():
    """A net whose layers cost what the fitted ones do has the ratio 1; twice the cost, a half."""
    amounts = np.array([[100, 10, 5], [300, 20, 50], [50, 30, 2], [1000, 4, 9]], float)
    taken = amounts @ np.array([1.5, 8.0, 2.0])
    layers = [
        {"kind": "CONV_2D 1x1", "amounts": list(row), "instructions": float(count)}
        for row, count in zip(amounts, taken, strict=True)
    ]
    costs = bench.fit_costs([{"layers": layers}])
    assert np.allclose(costs["CONV_2D 1x1"], [1.5, 8.0, 2.0])
    slower = [{**layer, "instructions": 2 * layer["instructions"]} for layer in layers]
    assert bench.same_mix({"layers": layers}, costs) == pytest.approx(1)
    assert bench.same_mix({"layers": slower}, costs) == pytest.approx(0.5)
