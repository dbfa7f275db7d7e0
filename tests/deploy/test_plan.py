"""The memory plan and the generated files."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import random_models
from tflite_builder import Builder

from deploy.codegen import Plan, compile_model
from deploy.errors import DeployError
from deploy.graph import lower_graph, read_graph
from deploy.schedule import Region, place_regions, plan_memory

PEERS = Path(__file__).parents[1] / "data" / "peers"


def assert_disjoint(groups, offsets, top):
    for a, (first, first_offset) in enumerate(zip(groups, offsets, strict=True)):
        for region in first:
            assert first_offset >= 0
            assert first_offset + region.bytes <= top
        for second, second_offset in list(zip(groups, offsets, strict=True))[a + 1 :]:
            for r in first:
                for s in second:
                    in_time = r.first <= s.last and s.first <= r.last
                    in_space = (
                        first_offset < second_offset + s.bytes
                        and second_offset < first_offset + r.bytes
                    )
                    assert not (in_time and in_space), (r, first_offset, s, second_offset)


def test_random_regions_never_overlap():
    chooser = random.Random(3)
    for _ in range(150):
        groups = []
        for _ in range(chooser.randint(1, 12)):
            start = chooser.randint(0, 10)
            group = []
            for _ in range(chooser.randint(1, 3)):
                end = start + chooser.randint(0, 4)
                group.append(Region(start, end, 4 * chooser.randint(1, 40)))
                start = end
            groups.append(group)
        top, offsets = place_regions(groups)
        assert_disjoint(groups, offsets, top)


def test_a_chain_needs_its_two_largest_neighbours():
    sizes = [40, 100, 60, 80, 20, 96]
    groups = [[Region(i, i + 1, size)] for i, size in enumerate(sizes)]
    top, offsets = place_regions(groups)
    assert top == 160
    assert_disjoint(groups, offsets, top)


def test_random_graphs_keep_what_is_needed():
    """No two tensors that are alive together share bytes, except aliases and in-place outputs."""
    for seed in range(60):
        data = random_models.graph(np.random.default_rng([seed, 77]))
        graph = read_graph(data, "random")
        layers = lower_graph(graph)
        memory = plan_memory(graph, layers)
        assert memory.arena_bytes >= memory.lower_bound
        allowed = set()
        for layer in layers:
            sources = layer.inputs if layer.alias else [layer.inputs[i] for i in layer.in_place]
            allowed |= {frozenset((source, layer.outputs[0])) for source in sources}
        spans = {
            i: (memory.offsets[i], memory.offsets[i] + graph.tensors[i].bytes, *life)
            for i, life in memory.lifetimes.items()
        }
        for i, (start, end, first, last) in spans.items():
            assert end <= memory.arena_bytes
            for j, (start2, end2, first2, last2) in spans.items():
                if i >= j or first > last2 or first2 > last or start >= end2 or start2 >= end:
                    continue
                same_group = any(i in group and j in group for group in memory.groups)
                assert same_group, (seed, i, j)
                aliased = frozenset((i, j)) in allowed
                assert aliased or chained_by_alias(layers, i, j), (seed, i, j)
        executed = [layer for layer in layers if not layer.alias]
        for time, offset in memory.scratch_offsets.items():
            end = offset + executed[time].scratch_bytes
            assert end <= memory.arena_bytes
            for start, stop, first, last in spans.values():
                if first <= time <= last:
                    assert end <= start or stop <= offset


def chained_by_alias(layers, i, j):
    """Whether two tensors are joined through RESHAPE and at most one in-place step."""
    joined = {i}
    for _ in range(len(layers)):
        for layer in layers:
            links = [layer.inputs[0]] if layer.alias else [layer.inputs[p] for p in layer.in_place]
            for link in links:
                if link in joined or layer.outputs[0] in joined:
                    joined |= {link, layer.outputs[0]}
    return j in joined


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("small_32_int8", 10_600),
        ("mbv2_tiny_144_int8", 290_400),
        ("mcunet_in3_176_int8", 248_000),
    ],
)
def test_depthwise_in_place_bounds_the_arena(name, most, tmp_path):
    plan = compile_model((PEERS / f"{name}.tflite").read_bytes(), tmp_path, name=name)
    assert plan.arena_bytes <= most
    in_place = [la for la in plan.layers if la.op == "DEPTHWISE_CONV_2D"]
    assert all(la.inputs[0].offset == la.outputs[0].offset for la in in_place)


def test_add_does_not_overwrite_what_a_later_layer_reads():
    b = Builder()
    source = b.tensor((1, 4, 4, 4), 0.1, 0)
    rng = np.random.default_rng(0)
    first = random_models.add(b, rng, source)
    second = random_models.add(b, rng, source, first)
    last = random_models.add(b, rng, second, source)
    graph = read_graph(b.build([source], [last]), "shortcuts")
    memory = plan_memory(graph, lower_graph(graph))
    assert memory.offsets[source] != memory.offsets[first]
    assert memory.offsets[source] != memory.offsets[second]
    assert memory.arena_bytes == 128


def test_reshape_of_an_input_that_is_used_again_is_not_overwritten():
    b = Builder()
    source = b.tensor((1, 4, 4, 4), 0.1, 0)
    rng = np.random.default_rng(0)
    changed = random_models.add(b, rng, source)
    flat = random_models.reshape(b, rng, source)
    graph = read_graph(b.build([source], [changed, flat]), "alias")
    memory = plan_memory(graph, lower_graph(graph))
    assert memory.offsets[flat] == memory.offsets[source] != memory.offsets[changed]


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
    with pytest.raises(DeployError, match="unknown schedule 'fast'; one of layer"):
        compile_model(data, tmp_path, name="small", schedule="fast")


def test_tables_take_nine_bytes_a_channel(tmp_path):
    data = (PEERS / "mcunet_in3_176_int8.tflite").read_bytes()
    plan = compile_model(data, tmp_path, name="mcunet")
    channels = sum(la.output_shape[-1] for la in plan.layers if la.weight_bytes)
    assert plan.tables_bytes == 9 * channels


def test_names_from_the_model_cannot_break_out_of_the_c_string(tmp_path):
    from deploy.codegen.emit import _c_string

    assert _c_string('a"b\\c\n??/é') == '"a\\042b\\134c\\012\\077\\077/\\303\\251"'
