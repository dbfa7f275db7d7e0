# SPDX-License-Identifier: Apache-2.0
"""The memory plan and the generated files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_models
from plan_check import SCHEDULES, clobbered
from tflite_builder import Builder

from deploy.codegen import Plan, compile_model
from deploy.core.errors import DeployError
from deploy.schedule import join_flow, plan_schedule, planner
from deploy.schedule.stream import BAND
from deploy.tflite import lower_graph, read_graph

PEERS = Path(__file__).parents[2] / "data" / "peers"


def planned(data, kind="layer", mode="image", ram=None):
    graph = read_graph(data, "random")
    flow = join_flow(graph, lower_graph(graph))
    return flow, plan_schedule(flow, kind, ram, pushed=mode == "rows")


@pytest.mark.parametrize(("kind", "mode"), SCHEDULES)
def test_no_schedule_overwrites_what_is_still_needed(kind, mode):
    streams = 0
    for seed in range(25):
        data = random_models.chain(np.random.default_rng([seed, 77]))
        flow, schedule = planned(data, kind, mode)
        assert clobbered(flow, schedule) == [], seed
        streams += sum(bool(segment.batches) for segment in schedule.segments)
    assert (streams == 0) == (kind == "layer")


def test_random_graphs_keep_what_is_needed():
    for seed in range(40):
        for kind in ("layer", "fused"):
            flow, schedule = planned(random_models.graph(np.random.default_rng([seed, 77])), kind)
            assert clobbered(flow, schedule) == [], (seed, kind)


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [
        ("small_32_int8", "layer", 10_600),
        ("mbv2_tiny_144_int8", "layer", 290_400),
        ("mcunet_in3_176_int8", "layer", 248_000),
        ("mbv2_tiny_144_int8", "fused", 110_000),
    ],
)
def test_peers_need_little_memory(name, kind, most):
    flow, schedule = planned((PEERS / f"{name}.tflite").read_bytes(), kind)
    assert schedule.arena_bytes <= most
    assert clobbered(flow, schedule) == []


def test_too_little_ram_says_how_much_is_missing():
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    with pytest.raises(DeployError, match=r"4,000 bytes of RAM \(layer: 6,304 bytes too many at"):
        planned(data, "layer", ram=4_000)


def test_pushed_rows_need_a_stream():
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    with pytest.raises(DeployError, match="needs the whole image"):
        planned(data, "fused", "rows")


def test_add_does_not_overwrite_what_a_later_layer_reads():
    b = Builder()
    source = b.tensor((1, 4, 4, 4), 0.1, 0)
    rng = np.random.default_rng(0)
    first = random_models.add(b, rng, source)
    second = random_models.add(b, rng, source, first)
    last = random_models.add(b, rng, second, source)
    flow, schedule = planned(b.build([source], [last]))
    assert clobbered(flow, schedule) == []
    assert schedule.arena_bytes == 128


def test_reshape_of_an_input_that_is_used_again_is_not_overwritten():
    b = Builder()
    source = b.tensor((1, 4, 4, 4), 0.1, 0)
    rng = np.random.default_rng(0)
    changed = random_models.add(b, rng, source)
    flat = random_models.reshape(b, rng, source)
    flow, schedule = planned(b.build([source], [changed, flat]))
    assert flow.place_of[flat] == flow.place_of[source]
    assert clobbered(flow, schedule) == []
    assert schedule.arena_bytes == 128


def test_identical_input_gives_identical_files(tmp_path):
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    for folder in ("a", "deeper/b"):
        compile_model(data, tmp_path / folder, name="small")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["model.c", "model.h", "model_weights.c", "plan.json"]
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "deeper" / "b" / name).read_bytes()
        assert str(tmp_path).encode() not in first


def test_plan_json_reads_back(tmp_path):
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    plan = compile_model(data, tmp_path, name="small")
    assert Plan.load(tmp_path / "plan.json") == plan
    raw = json.loads((tmp_path / "plan.json").read_text())
    assert raw["weights_bytes"] == sum(la["weight_bytes"] for la in raw["layers"])
    assert raw["tables_bytes"] == sum(la["table_bytes"] for la in raw["layers"])
    assert raw["input"]["shape"] == [1, 32, 32, 3]
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(DeployError, match="not a plan of this version"):
        Plan.load(tmp_path / "plan.json")
    with pytest.raises(DeployError, match="netbooster compile"):
        Plan.load(tmp_path / "missing.json")


def test_unknown_schedule(tmp_path):
    data = (PEERS / "small_32_int8.tflite").read_bytes()
    with pytest.raises(DeployError, match="unknown schedule 'fast'; one of auto, layer"):
        compile_model(data, tmp_path, name="small", schedule="fast")


def test_tables_take_eight_bytes_a_channel(tmp_path):
    data = (PEERS / "mcunet_in3_176_int8.tflite").read_bytes()
    plan = compile_model(data, tmp_path, name="mcunet")
    weighted = [la for la in plan.layers if la.weight_bytes]
    products = sum(la.op != "DEPTHWISE_CONV_2D" for la in weighted)
    assert plan.tables_bytes == 8 * sum(la.output_shape[-1] for la in weighted) + 4 * products


def test_names_from_the_model_cannot_break_out_of_the_c_string(tmp_path):
    from deploy.codegen.emit import _c_string

    assert _c_string('a"b\\c\n??/é') == '"a\\042b\\134c\\012\\077\\077/\\303\\251"'


def test_free_memory_goes_to_the_input_rows_of_whole_maps():
    """Depthwise convolutions of whole maps take fewer bands where that costs no byte."""
    data = (PEERS / "mbv2_tiny_144_int8.tflite").read_bytes()
    flow, schedule = planned(data, "auto")
    whole = [s for s in schedule.segments if not s.batches]
    tall = [s for s in whole if s.band > BAND]
    for segment in tall:
        assert flow.layers[segment.first].kernel == "nb_depthwise_conv_s8"
    # The maps of 9 and of 5 rows are made in one band.
    low = {s.first for s in whole if s.band >= flow.height(s.first)}
    assert sum(flow.layers[n].kernel == "nb_depthwise_conv_s8" for n in low) >= 10
    usual = [replace(segment, band=BAND) for segment in schedule.segments]
    assert schedule.arena_bytes <= planner._arrange(flow, "auto", usual, 0).arena_bytes
    assert not clobbered(flow, schedule)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("kind", ["auto", "rows"])
def test_rows_that_a_window_reads_again_stay_in_a_shared_ring(size, kind):
    """A depthwise convolution writes over its input's ring; what reads it needs rows for longer."""
    rng = np.random.default_rng(size)
    b = Builder()
    current = b.tensor((1, 64, 64, 4), 0.05, 0)
    source = current
    options = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1,
               "dilationWFactor": 1, "fusedActivationFunction": 0}  # fmt: skip
    for shape, axis in (((16, 1, 1, 4), 0), ((1, 3, 3, 16), 3), ((4, size, size, 16), 0)):
        data = rng.integers(-127, 128, shape).astype(np.int8)
        weights = b.tensor(shape, np.full(shape[axis], 0.01), data=data, axis=axis)
        output = b.tensor((1, 64, 64, shape[axis]), 0.2, 3)
        name = "DepthwiseConv2D" if axis else "Conv2D"
        b.operator("DEPTHWISE_CONV_2D" if axis else "CONV_2D", [current, weights], [output],
                   f"{name}Options", **options,
                   **({"depthMultiplier": 1} if axis else {}))  # fmt: skip
        current = output
    graph = read_graph(b.build([source], [current]), "window")
    flow = join_flow(graph, lower_graph(graph))
    for pushed in (False, True):
        segments, cost = planner.Planner(flow, kind, pushed).smallest(float("inf"))[1:]
        schedule = planner.arrange(flow, kind, segments, cost)
        assert any(segment.batches for segment in segments)
        assert clobbered(flow, schedule) == []
