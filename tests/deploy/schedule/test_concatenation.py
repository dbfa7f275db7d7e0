# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION whose pieces its inputs' layers write in place: nothing else is copied.

Random nets that join channels are in test_joins.py.
"""

import shutil

import numpy as np
import plan_check
import pytest
from golden import compile_for_host
from tflite_builder import INT32, Builder

from deploy.build.firmware import build_firmware
from deploy.codegen import compiler, plan_model, write_model
from deploy.devices import run_images
from deploy.schedule import Flow, join_flow, plan_schedule
from deploy.targets import load_target
from deploy.tflite import lower_graph, parse_graph, read_graph
from deploy.tflite.tflm import TflmModel, tflm_available

SCALE, ZERO = 0.05, -3
ENOUGH = 1_000_000  # bytes of RAM: with no need to stream, what can be placed is


def conv(b: Builder, rng, source: int, channels: int, kernel: int = 3) -> int:
    """A 3x3 or other convolution, SAME, to one quantization that all of them share."""
    _, height, width, depth = b.tensors[source].shape
    shape = (channels, kernel, kernel, depth)
    weights = b.tensor(shape, 0.02, data=rng.integers(-127, 128, shape))
    bias = b.tensor((channels,), SCALE * 0.02, dtype=INT32, data=rng.integers(-999, 999, channels))
    out = b.tensor((1, height, width, channels), SCALE, ZERO)
    b.operator("CONV_2D", [source, weights, bias], [out], "Conv2DOptions", strideW=1, strideH=1,
               dilationWFactor=1, dilationHFactor=1)  # fmt: skip
    return out


def reshape(b: Builder, source: int, shape: tuple[int, ...]) -> int:
    out = b.tensor(shape, SCALE, ZERO)
    target = b.tensor((len(shape),), data=np.array(shape), dtype=INT32)
    b.operator("RESHAPE", [source, target], [out], "ReshapeOptions", newShape=list(shape))
    return out


def concatenate(b: Builder, parts: list[int], axis: int) -> int:
    shape = list(b.tensors[parts[0]].shape)
    shape[axis] = sum(b.tensors[part].shape[axis] for part in parts)
    out = b.tensor(tuple(shape), SCALE, ZERO)
    b.operator("CONCATENATION", parts, [out], "ConcatenationOptions", axis=axis)
    return out


def rows_below_rows(b, rng, x):
    """Along the rows; then read by a convolution."""
    return [conv(b, rng, concatenate(b, [conv(b, rng, x, 4), conv(b, rng, x, 4)], 1), 5)]


def part_read_by_others(b, rng, x):
    first, second = conv(b, rng, x, 4), conv(b, rng, x, 4)
    return [conv(b, rng, concatenate(b, [first, second], 1), 3), conv(b, rng, first, 2)]


def part_from_part(b, rng, x):
    """The second piece is made from the first."""
    first = conv(b, rng, x, 4)
    return [concatenate(b, [conv(b, rng, first, 4), first], 1)]


def heads(b, rng, x):
    """As a detector's: maps of several sizes, reshaped to lists."""
    maps = [conv(b, rng, x, 4), conv(b, rng, x, 8), conv(b, rng, x, 12)]
    lists = [reshape(b, m, (1, int(np.prod(b.tensors[m].shape)) // 4, 4)) for m in maps]
    return [concatenate(b, lists, 1)]


def depthwise_parts(b, rng, x):
    """Layers that would write over their input."""
    maps = []
    for _ in range(2):
        source = conv(b, rng, x, 8)
        weights = b.tensor((1, 3, 3, 8), 0.02, data=rng.integers(-127, 128, (1, 3, 3, 8)), axis=3)
        bias = b.tensor((8,), SCALE * 0.02, dtype=INT32, data=rng.integers(-999, 999, 8))
        out = b.tensor(tuple(b.tensors[source].shape), SCALE, ZERO)
        b.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [out], "DepthwiseConv2DOptions",
                   strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1,
                   depthMultiplier=1)  # fmt: skip
        maps.append(out)
    return [conv(b, rng, concatenate(b, maps, 1), 2)]


def channels(b, rng, x):
    """A piece is a run of every pixel."""
    return [concatenate(b, [conv(b, rng, x, 4), conv(b, rng, x, 3)], 3)]


def channels_reshaped(b, rng, x):
    """Each pixel's channels, but the rows are lost on the way."""
    parts = [conv(b, rng, x, 4), conv(b, rng, x, 3)]
    lists = [reshape(b, p, (1, b.tensors[p].shape[1] ** 2, b.tensors[p].shape[3])) for p in parts]
    return [concatenate(b, lists, 2)]


def channels_nested(b, rng, x):
    """One joins what another joined, and nobody else reads it."""
    inner = concatenate(b, [conv(b, rng, x, 4), conv(b, rng, x, 3)], 3)
    return [concatenate(b, [conv(b, rng, x, 5), inner, conv(b, rng, x, 2)], 3)]


def columns(b, rng, x):
    """A piece is a run of every row: no kernel has a pitch of rows."""
    return [concatenate(b, [conv(b, rng, x, 4), conv(b, rng, x, 4)], 2)]


def channels_read_by_others(b, rng, x):
    """Who reads a piece alone reads pixels that follow one another: it is copied."""
    first, second = conv(b, rng, x, 4), conv(b, rng, x, 3)
    return [concatenate(b, [first, second], 3), conv(b, rng, first, 2)]


def channels_beside_the_input(b, rng, x):
    return [conv(b, rng, concatenate(b, [x, conv(b, rng, x, 5)], 3), 2)]


def input_as_piece(b, rng, x):
    depth = b.tensors[x].shape[3]
    return [concatenate(b, [x, conv(b, rng, x, depth)], 1)]


def piece_twice(b, rng, x):
    made = conv(b, rng, x, 4)
    return [concatenate(b, [made, made], 1)]


def piece_is_output(b, rng, x):
    made = conv(b, rng, x, 4)
    return [made, concatenate(b, [made, conv(b, rng, x, 4)], 1)]


def nested(b, rng, x):
    """The inner one is placed; the outer one copies it beside what is placed."""
    inner = concatenate(b, [conv(b, rng, x, 4), conv(b, rng, x, 4)], 1)
    return [concatenate(b, [inner, conv(b, rng, inner, 4)], 1)]


# All pieces are written in place; some are, and the others copied; nothing is.
PLACED = [rows_below_rows, part_read_by_others, part_from_part, heads, depthwise_parts, channels,
          channels_reshaped, channels_nested]  # fmt: skip
PARTLY = [input_as_piece, piece_is_output, nested, channels_read_by_others,
          channels_beside_the_input]  # fmt: skip
COPIED = [piece_twice, columns]


def model(make, size=9) -> bytes:
    b, rng = Builder(), np.random.default_rng(5)
    x = b.tensor((1, size, size, 3), SCALE, ZERO)
    return b.build([x], make(b, rng, x))


@pytest.mark.parametrize("make", [*PLACED, *PARTLY, *COPIED], ids=lambda make: make.__name__)
def test_nothing_is_copied_and_nothing_overwritten(make, tmp_path):
    data = model(make)
    graph = read_graph(data, make.__name__)
    flow = join_flow(graph, lower_graph(graph))
    assert bool(flow.joins) == (make not in COPIED)
    for kind in ("layer", "auto"):
        schedule = plan_schedule(flow, kind, None, pushed=False)
        assert plan_check.clobbered(flow, schedule) == [], kind
    plan, host = compile_for_host(data, tmp_path, ram=ENOUGH)
    copies = sum(layer.kernel == "nb_concatenation_s8" for layer in plan.layers)
    assert copies == (make not in PLACED)
    inputs = np.random.default_rng(1).integers(-128, 128, (4, *plan.input.shape[1:]), np.int8)
    if tflm_available() is not None:
        pytest.skip(f"the plan was checked, the bytes not: {tflm_available()}")  # no wheel here
    interpreter = TflmModel(data)
    found = host.invoke_all([inputs])
    for item, image in enumerate(inputs):
        interpreter.invoke_all([image[None]])
        for number, output in enumerate(found):
            assert (output[item].ravel() == interpreter.output(number).ravel()).all(), number


@pytest.mark.parametrize("make", [channels, heads, channels_nested, channels_beside_the_input],
                         ids=lambda make: make.__name__)  # fmt: skip
def test_tensors_are_read_back_from_where_they_lie(make, tmp_path):
    """Pieces, what they are joined to, and RESHAPEs, after the layer that completes them."""
    if tflm_available() is not None:
        pytest.skip(f"nothing to compare with: {tflm_available()}")  # no wheel here
    data = model(make)
    plan, host = compile_for_host(data, tmp_path, ram=ENOUGH, schedule="layer", keep_dead=True)
    image = np.random.default_rng(1).integers(-128, 128, (1, *plan.input.shape[1:]), np.int8)
    interpreter = TflmModel(data, keep_tensors=True)
    interpreter.invoke(image)
    found = host.layer_outputs(plan, image)
    numbers = {tensor.name: tensor.index for tensor in parse_graph(data, "raw").tensors}
    assert found.keys() == {tensor.name for tensor in plan.tensors} - {plan.input.name}
    for name, raw in found.items():
        assert (raw.view(np.int8) == interpreter.tensor(numbers[name]).ravel()).all(), name


def fire_net(b, rng, x):
    """A stem and three fire modules of SqueezeNet: a narrow 1x1, then a 1x1 and a 3x3 joined."""
    x = conv(b, rng, x, 16)
    for narrow, wide in ((4, 12), (6, 16), (8, 21)):
        x = conv(b, rng, x, narrow, 1)
        x = concatenate(b, [conv(b, rng, x, wide, 1), conv(b, rng, x, wide)], 3)
    return [conv(b, rng, x, 5, 1)]


def test_fire_modules_copy_nothing_and_run_by_rows():
    """In every schedule; joined maps exist as rows only where there is a stream."""
    data = model(fire_net, 24)
    graph = read_graph(data, "fire")
    layers = lower_graph(graph)
    least = {}
    for join in (True, False):
        flow = join_flow(graph, layers) if join else Flow(graph, layers)
        for kind in ("layer", "fused"):
            schedule = plan_schedule(flow, kind, None, pushed=False)
            assert plan_check.clobbered(flow, schedule) == []
            least[join, kind] = schedule.arena_bytes
    # The last joined map and its source, instead of both pieces and the map; and scratch.
    assert least[True, "layer"] <= 24 * 24 * (42 + 8) + 12 * 72
    assert least[False, "layer"] >= 24 * 24 * 2 * 42
    assert least[True, "fused"] <= 0.4 * least[True, "layer"]
    for kind, mode in plan_check.SCHEDULES:
        plan = plan_model(data, name="fire", schedule=kind, input_mode=mode).plan
        assert all(layer.kernel != "nb_concatenation_s8" for layer in plan.layers), kind


@pytest.mark.parametrize("make", [heads, fire_net], ids=lambda make: make.__name__)
@pytest.mark.skipif(
    any(shutil.which(t) is None for t in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
    reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
)
def test_instructions_of_the_copies_are_saved(make, tmp_path, monkeypatch):
    """At least one instruction a byte that is not copied, on the emulated Cortex-M4."""
    data, target = model(make), load_target("mps2-an386")
    image = np.random.default_rng(1).integers(-128, 128, (1, 9, 9, 3), np.int8)
    results = {}
    for join in (True, False):
        if not join:
            monkeypatch.setattr(compiler, "join_flow", lambda *given, **_: Flow(*given))
        compilation = plan_model(data, name="joined", ram=ENOUGH, schedule="layer")
        folder = tmp_path / str(join)
        write_model(compilation, folder / "generated")
        build_firmware(folder / "generated", target, folder / "fw.elf")
        results[join] = run_images(target, folder / "fw.elf", image)
    assert (results[True].outputs == results[False].outputs).all()
    copied = sum(
        int(np.prod(layer.output_shape))
        for layer in compilation.plan.layers
        if layer.kernel == "nb_concatenation_s8"
    )
    assert copied > 0
    assert results[True].instructions + copied <= results[False].instructions


def rows_and_channels(b, rng, x):
    """Fire modules, whose joined maps can be streamed, and large maps below each other."""
    *_, x = fire_net(b, rng, x)
    return rows_below_rows(b, rng, x)


@pytest.mark.parametrize("make", [rows_below_rows, rows_and_channels], ids=lambda m: m.__name__)
def test_a_copy_is_kept_where_it_saves_memory(make):
    """Layers whose pieces lie apart cannot be streamed: large maps are worth a copy, and only
    they."""
    data = model(make, size=40)
    graph = read_graph(data, "large")
    layers = lower_graph(graph)
    flows = {
        (True, True): join_flow(graph, layers),
        (True, False): join_flow(graph, layers, apart=False),
        (False, False): Flow(graph, layers),
    }
    sizes = {
        key: plan_schedule(flow, "auto", None, pushed=False).arena_bytes
        for key, flow in flows.items()
    }
    chosen = plan_model(data, name="large")
    assert chosen.schedule.arena_bytes == min(sizes.values())
    if make is rows_and_channels:
        assert sizes[True, False] < min(sizes[True, True], sizes[False, False])
