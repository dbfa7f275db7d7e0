# SPDX-License-Identifier: Apache-2.0
"""`netbooster fit`: estimates of known models, and the largest that fits."""

from pathlib import Path

import pytest

from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.evidence.fit import Fit, estimate, features, largest, load_costs
from deploy.run.model_io import untrained_flatbuffer
from deploy.targets import load_target

PEERS = Path(__file__).parents[2] / "data" / "peers"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    return compile_model(data, tmp_path_factory.mktemp("fit"), name="small")


def test_estimate_of_a_known_model(plan):
    found = estimate(plan, load_target("mps2-an386"))
    costs = load_costs("cortex-m4")
    known = next(entry for entry in costs.errors if entry["model"] == "small_32_int8")
    assert found.cycles == pytest.approx(known["cycles"] * (1 + known["cycles_error"]), rel=1e-2)
    assert found.latency_ms == pytest.approx(found.cycles / 25e6 * 1000, rel=1e-6)
    assert found.arena_bytes == plan.arena_bytes < found.ram_bytes
    assert found.fits and found.verdict == "fits"


def test_features_do_not_depend_on_how_many_rows_lie_in_memory(plan, tmp_path):
    """MACs and elements are the layer's; only the calls follow from the schedule."""
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    whole = compile_model(data, tmp_path, name="small", schedule="layer")
    assert any(layer.stream >= 0 for layer in plan.layers)
    for streamed, alone in zip(plan.layers, whole.layers, strict=True):
        ours, theirs = features(plan, streamed), features(whole, alone)
        assert ours[:3] == theirs[:3] and theirs[3] == 1
        assert ours[3] == (
            1 if streamed.stream < 0 else -(-streamed.output_shape[1] // streamed.batch)
        )
        assert ours[4] == ours[3] * streamed.output_shape[-1]


def test_errors_on_known_models_are_small():
    """The bound that the estimate is used with; refit (tools/measure_costs.py) if it breaks."""
    costs = load_costs("cortex-m4")
    assert {entry["model"] for entry in costs.errors} == {
        "small_32_int8", "mbv2_tiny_144_int8", "mcunet_in3_176_int8"
    }  # fmt: skip
    assert costs.largest_error < 0.15


def test_what_is_missing_is_said(plan):
    target = load_target("mps2-an386")
    length = estimate(plan, target).ram_bytes - 500
    ram = target.ram.model_copy(update={"length": length})
    found = estimate(plan, target.model_copy(update={"ram": ram}))
    assert not found.fits
    assert found.verdict == "lacks 500 B of RAM"


def test_host_has_no_memories(plan):
    with pytest.raises(DeployError, match="host has no memories"):
        estimate(plan, load_target("host"))


def test_a_kernel_without_a_count_is_named(plan):
    from dataclasses import replace

    layers = [replace(plan.layers[0], kernel="nb_new_s8"), *plan.layers[1:]]
    with pytest.raises(DeployError, match="nb_new_s8 has no counted cost"):
        estimate(replace(plan, layers=layers), load_target("mps2-an386"))


def test_bisection_finds_the_largest():
    asked = []

    def needs(size: int) -> Fit:
        asked.append(size)
        return Fit(size, size, 100, 0, 1, 0, 0, 0, 0.0)

    sizes = list(range(10, 500, 7))
    best = largest(sizes, needs)
    assert best is not None and best[0] == max(size for size in sizes if size <= 100)
    assert len(asked) <= 7
    assert largest([101, 200], needs) is None


@pytest.mark.parametrize(
    "model, resolution", [("mobilenetv2-tiny", 32), ("mobilenetv2-tiny", 96), ("mcunet-in3", 48)]
)
def test_every_kernel_of_our_networks_has_a_cost(model, resolution, tmp_path):
    """Fails where a kernel was added or renamed: run tools/measure_costs.py."""
    data = untrained_flatbuffer(model, resolution=resolution, classes=10, channels=3, width=None)
    plan = compile_model(data, tmp_path, name="net", keep_dead=True)
    assert estimate(plan, load_target("nucleo-f446re")).cycles > 0
