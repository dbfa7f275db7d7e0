# SPDX-License-Identifier: Apache-2.0
"""Channels that are known or unread go at compile time, and no output byte changes."""

import golden
import numpy as np
import pytest
import random_joins
import random_models
from tflite_builder import INT32, Builder

from deploy.codegen import plan_model
from deploy.tflite import lower_graph, read_graph
from deploy.tflite.passes import remove_dead, settle_constants
from deploy.tflite.passes.ranges import channel_ranges
from deploy.tflite.tflm import TflmModel, tflm_available

pytestmark = pytest.mark.skipif(tflm_available() is not None, reason=str(tflm_available()))
SAME, VALID = 0, 1


def kill(b: Builder, rng: np.random.Generator) -> None:
    """Zero weights of whole output and input channels, and drive others into the clamp."""
    for operator in b.operators:
        code = b.codes[operator.opcodeIndex]
        if code not in (3, 4, 9):  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED
            continue
        weights = b.tensors[operator.inputs[1]]
        data = np.array(b.buffers[weights.buffer].data).view(np.int8).reshape(weights.shape)
        outputs = 3 if code == 4 else 0
        channels = weights.shape[outputs]
        dead = rng.random(channels) < 0.4
        index = [slice(None)] * len(weights.shape)
        index[outputs] = dead
        data[tuple(index)] = 0
        if code == 3 and weights.shape[3] == b.tensors[operator.inputs[0]].shape[3]:
            data[..., rng.random(weights.shape[3]) < 0.3] = 0
        b.buffers[weights.buffer].data = data.reshape(-1).view(np.uint8)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias = b.buffers[b.tensors[operator.inputs[2]].buffer]
            values = np.array(bias.data).view(np.int32).copy()
            saturated = rng.random(channels) < 0.2
            values[saturated] = rng.choice([-(2**28), 2**28], int(saturated.sum()))
            bias.data = values.view(np.uint8)


def random_net(rng: np.random.Generator) -> bytes:
    """Convolutions, depthwise ones, shortcuts and poolings with many dead channels."""
    b = Builder()
    height, width = (int(v) for v in rng.integers(3, 10, 2))
    channels = int(rng.integers(1, 9))
    source = current = b.tensor((1, height, width, channels), 0.05, int(rng.integers(-128, 128)))
    extra = []
    for _ in range(int(rng.integers(2, 7))):
        kind = str(rng.choice(["pointwise", "depthwise", "conv", "residual", "pool", "pad"]))
        if kind == "residual":
            inside = random_models.pointwise(b, rng, current)
            channels = b.tensors[inside].shape[3]
            shortcut = random_models._pointwise_to(b, rng, current, channels)
            if rng.integers(6) == 0:
                extra.append(shortcut)
            current = random_models.add(b, rng, inside, shortcut)
        else:
            step = {
                "pointwise": random_models.pointwise, "depthwise": random_models.depthwise,
                "conv": random_models.convolution, "pool": random_models.pool,
                "pad": random_models.pad,
            }[kind]  # fmt: skip
            current = step(b, rng, current)
    tail = rng.integers(4)
    if tail == 1:
        current = random_models.mean(b, rng, current)
    if tail == 2:
        current = random_models.reshape(b, rng, current)
    if tail and int(np.prod(b.tensors[current].shape)) < 4000:
        current = random_models.fully_connected(b, rng, current)
    kill(b, rng)
    return b.build([source], [current, *extra])


def differences(seeds: range) -> tuple[int, int, int]:
    """(bytes that differ from TFLM, channels removed, models that lost some) over many nets."""
    wrong = removed = lost = 0
    for seed in seeds:
        rng = np.random.default_rng([2611, seed])
        data = random_net(rng)
        mode = ("layer", "auto")[seed % 2]
        own, _ = golden.differences(data, rng, schedule=mode)
        own += golden.differences(data, rng, schedule=mode, keep_dead=True)[0]
        assert own == 0, f"seed {seed}"
        wrong += own
        channels = plan_model(data, name="random").removed_channels
        removed, lost = removed + channels, lost + (channels > 0)
    return wrong, removed, lost


def test_random_nets_keep_every_byte():
    wrong, removed, lost = differences(range(40))
    assert wrong == 0
    assert lost > 15 and removed > 150  # the nets are such that the pass has work


@pytest.mark.slow
def test_random_nets_keep_every_byte_slow():
    wrong, removed, _ = differences(range(1000, 2000))
    assert wrong == 0 and removed > 1000


def conv(b, source, weights, bias=None, *, padding=SAME, zero_point=-128, scale=0.1, relu=0):
    """CONV_2D with scale 0.01 weights [o, h, w, i]; the shape of its output is the input's."""
    shape = b.tensors[source].shape
    edge = 0 if padding == SAME else weights.shape[1] - 1
    output = b.tensor((1, shape[1] - edge, shape[2] - edge, len(weights)), scale, zero_point)
    inputs = [source, b.tensor(weights.shape, np.full(len(weights), 0.01), data=weights)]
    if bias is not None:
        inputs.append(b.tensor((len(weights),), 0.0005, data=np.array(bias), dtype=INT32))
    b.operator("CONV_2D", inputs, [output], "Conv2DOptions", padding=padding, strideH=1, strideW=1,
               dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=relu)  # fmt: skip
    return output


def two_convolutions(kernel, padding, dead_bias):
    """4 channels of which number 1 has weights of 0 and a bias, read by a second convolution."""
    rng = np.random.default_rng(7)
    b = Builder()
    source = b.tensor((1, 6, 6, 3), 0.05, 3)
    first = rng.integers(-100, 100, (4, 1, 1, 3)).astype(np.int8)
    first[1] = 0
    middle = conv(b, source, first, [5, dead_bias, -9, 100], zero_point=-10)
    second = rng.integers(-100, 100, (5, kernel, kernel, 4)).astype(np.int8)
    return b.build([source], [conv(b, middle, second, padding=padding, scale=1.0, zero_point=4)])


@pytest.mark.parametrize(
    ("kernel", "padding", "dead_bias", "gone"),
    [
        (1, SAME, 60_000, 1),  # folded into a bias that the model does not have
        (3, VALID, 60_000, 1),
        (3, SAME, 60_000, 0),  # beyond the border it would be the zero point
        (3, SAME, 0, 1),  # constant, and the zero point
    ],
)
def test_padding_decides(kernel, padding, dead_bias, gone):
    data = two_convolutions(kernel, padding, dead_bias)
    graph = read_graph(data, "two")
    assert remove_dead(graph).channels == gone
    assert plan_model(data, name="two", keep_dead=True).removed_channels == 0
    assert golden.differences(data, np.random.default_rng(0))[0] == 0


def test_a_known_channel_does_not_slow_its_layer():
    """What BN leaves of a dead channel: a scale that the kernels' fast path does not take."""
    rng = np.random.default_rng(7)
    b = Builder()
    source = b.tensor((1, 6, 6, 3), 0.05, 3)
    first = rng.integers(-100, 100, (4, 1, 1, 3)).astype(np.int8)
    first[1] = 0
    middle = conv(b, source, first, [5, 60_000, -9, 100], zero_point=-10)
    second = rng.integers(-100, 100, (5, 1, 1, 4)).astype(np.int8)
    second[2, 0, 0] = [0, 1, 0, 0]
    target = conv(b, middle, second, [0, 0, 77, 0, 0], scale=0.5, zero_point=4)
    weights = b.tensors[b.operators[-1].inputs[1]]
    weights.quantization.scale = np.array([0.01, 0.01, 20.0, 0.01, 0.01], np.float32)
    data = b.build([source], [target])
    graph = read_graph(data, "known")

    def fast(graph):
        return [layer.params.requantization.fast for layer in lower_graph(graph)]

    assert fast(graph) == [True, False]
    assert fast(settle_constants(graph)) == [True, True]
    wrong, plan = golden.differences(data, rng, keep_dead=True)
    assert wrong == 0
    assert not any("any" in layer.kernel for layer in plan.layers)


def test_unread_input_and_its_macs():
    """An input channel that no weight reads takes its producer's work with it."""
    rng = np.random.default_rng(1)
    b = Builder()
    source = b.tensor((1, 5, 5, 2), 0.05, 0)
    middle = conv(b, source, rng.integers(-90, 90, (4, 3, 3, 2)).astype(np.int8), zero_point=0)
    second = rng.integers(-90, 90, (3, 3, 3, 4)).astype(np.int8)
    second[..., 2] = 0
    data = b.build([source], [conv(b, middle, second, scale=0.5, zero_point=0)])
    compilation = plan_model(data, name="unread")
    assert compilation.removed_channels == 1
    assert compilation.removed_macs == 25 * 9 * (2 + 3)
    kept = plan_model(data, name="unread", keep_dead=True)
    assert sum(layer.macs for layer in kept.flow.layers) == 25 * 9 * (4 * 2 + 3 * 4)
    assert golden.differences(data, rng)[0] == 0


@pytest.mark.parametrize("axis", [3, -1, 2])
def test_a_joined_tensor_loses_what_its_pieces_lose(axis):
    """Of channels joined: one that is known, and one that nobody reads. Along others, none."""
    rng = np.random.default_rng(4)
    b = Builder()
    source = b.tensor((1, 5, 5, 2), 0.05, 0)
    pieces = [
        conv(b, source, rng.integers(-90, 90, (4, 1, 1, 2)).astype(np.int8), [9, 70, 5, 3])
        for _ in range(2)
    ]
    first = b.tensors[b.operators[0].inputs[1]]
    data = np.array(b.buffers[first.buffer].data).view(np.int8).reshape(first.shape)
    data[1] = 0
    b.buffers[first.buffer].data = data.reshape(-1).view(np.uint8)
    shape = [1, 5, 5, 4]
    shape[axis] *= 2
    joined = b.tensor(tuple(shape), 0.1, -128)
    b.operator("CONCATENATION", pieces, [joined], "ConcatenationOptions", axis=axis)
    second = rng.integers(-90, 90, (3, 1, 1, shape[3])).astype(np.int8)
    if axis != 2:
        second[..., 4 + 2] = 0
    data = b.build([source], [conv(b, joined, second, scale=0.5, zero_point=0)])
    graph = remove_dead(read_graph(data, "joined")).graph
    channels = [graph.tensors[index].shape[3] for index in (*pieces, joined)]
    assert channels == ([4, 4, 4] if axis == 2 else [3, 3, 6])
    assert golden.differences(data, rng)[0] == 0


def test_random_joined_nets_keep_every_byte():
    """Their branches have dead channels; see test_joins.py for the cores."""
    removed = 0
    for seed in range(30):
        data = random_joins.joined(np.random.default_rng([seed, 5]))
        removed += plan_model(data, name="joined").removed_channels
        assert golden.differences(data, np.random.default_rng(seed))[0] == 0, seed
    assert removed > 100


def test_a_shortcut_keeps_its_channels():
    """ADD loses a channel only where both of its inputs and all who read it can."""
    for dead in ((0,), (0, 1)):
        rng = np.random.default_rng(2)
        b = Builder()
        source = b.tensor((1, 4, 4, 3), 0.05, 0)
        branches = []
        for branch in (0, 1):
            weights = rng.integers(-90, 90, (4, 1, 1, 3)).astype(np.int8)
            if branch in dead:
                weights[3] = 0
            branches.append(conv(b, source, weights, zero_point=0))
        total = b.tensor((1, 4, 4, 4), 0.2, 0)
        b.operator("ADD", branches, [total], "AddOptions", fusedActivationFunction=0)
        last = rng.integers(-90, 90, (2, 1, 1, 4)).astype(np.int8)
        data = b.build([source], [conv(b, total, last, scale=1.0, zero_point=0)])
        assert remove_dead(read_graph(data, "add")).channels == (3 if len(dead) == 2 else 0)
        assert golden.differences(data, rng)[0] == 0


def test_outputs_and_unread_operators():
    """What the model gives out stays; what nobody reads is not computed."""
    rng = np.random.default_rng(3)
    b = Builder()
    source = b.tensor((1, 4, 4, 2), 0.05, 0)
    zeros = np.zeros((3, 1, 1, 2), np.int8)
    output = conv(b, source, zeros, [1, 2, 3])
    conv(b, source, rng.integers(-90, 90, (3, 1, 1, 2)).astype(np.int8))
    data = b.build([source], [output])
    removal = remove_dead(read_graph(data, "outputs"))
    assert (removal.channels, removal.operators) == (0, 1)
    assert len(lower_graph(removal.graph)) == 1
    assert golden.differences(data, rng)[0] == 0


def test_a_net_of_constants_keeps_one_channel_everywhere():
    b = Builder()
    source = b.tensor((1, 4, 4, 2), 0.05, 0)
    middle = conv(b, source, np.zeros((6, 1, 1, 2), np.int8), list(range(6)))
    last = np.random.default_rng(4).integers(-90, 90, (3, 1, 1, 6)).astype(np.int8)
    data = b.build([source], [conv(b, middle, last)])
    removal = remove_dead(read_graph(data, "constant"))
    assert removal.channels == 5
    assert removal.graph.tensors[middle].shape == (1, 4, 4, 1)
    assert golden.differences(data, np.random.default_rng(0))[0] == 0


def test_ranges_hold_what_the_interpreter_computes():
    """Every value that TFLM ever puts into a channel lies within the channel's range."""
    checked = 0
    for seed in range(25):
        rng = np.random.default_rng([15, seed])
        data = random_net(rng)
        graph = read_graph(data, "random")
        ranges = channel_ranges(graph)
        interpreter = TflmModel(data, keep_tensors=True)
        shape = graph.tensors[graph.inputs[0]].shape
        for item in range(3):
            extreme = rng.choice(np.array([-128, 127], np.int8), shape)
            image = extreme if item == 0 else rng.integers(-128, 128, shape).astype(np.int8)
            interpreter.invoke(image)
            for op in graph.operators:
                own = ranges[op.outputs[0]]
                values = interpreter.tensor(op.outputs[0]).reshape(-1, own.channels)
                assert (values.min(axis=0) >= own.low).all(), (seed, op)
                assert (values.max(axis=0) <= own.high).all(), (seed, op)
                checked += values.size
    assert checked > 10_000
