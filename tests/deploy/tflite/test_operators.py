# SPDX-License-Identifier: Apache-2.0
"""Operators beyond convolutions: every input of the curves, every place of a resize, the border of
a model, and what is refused. Random shapes and scales are in test_random_models.py."""

import golden
import numpy as np
import pytest
import random_ops
from tflite_builder import FLOAT32, INT32, UINT8, Builder

from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.tflite import lower_graph, read_graph
from deploy.tflite.ops.resize import Resize
from deploy.tflite.ops.resize_nearest_neighbor import nearest
from deploy.tflite.tflm import TflmModel, tflm_available

pytestmark = pytest.mark.skipif(
    tflm_available() is not None, reason=f"not compared with TFLM: {tflm_available()}"
)
EVERY = np.arange(-128, 128).astype(np.int8)


def table_of(data: bytes) -> np.ndarray:
    """The look-up table that a model of one such operator is compiled to, by value from -128."""
    (layer,) = lower_graph(read_graph(data, "model"))
    assert layer.kernel == "nb_lookup_s8"
    return np.roll(layer.params.table.data, 128)


@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH", "HARD_SWISH", "RELU", "RELU6", "QUANTIZE"])
def test_every_input_of_every_curve(kind):
    """All 256 bytes, for scales from flat to steep and zero points to both ends."""
    rng = np.random.default_rng(0)
    make = {"LOGISTIC": random_ops.logistic, "TANH": random_ops.tanh,
            "HARD_SWISH": random_ops.hard_swish, "RELU": random_ops.relu,
            "RELU6": random_ops.relu6, "QUANTIZE": random_ops.quantize}[kind]  # fmt: skip
    seen = set()
    for number in range(40):
        b = Builder()
        source = b.tensor((256,), 10 ** rng.uniform(-4, 1.5), [-128, 127, 0, 5][number % 4])
        data = b.build([source], [make(b, rng, source)])
        expected = TflmModel(data).invoke(EVERY)
        assert (table_of(data) == expected).all(), number
        seen |= set(expected.tolist())
    assert len(seen) > 200  # not saturated to nothing


@pytest.mark.parametrize("bias", [False, True])
def test_scales_of_a_fully_connected_layer_multiply_in_double(bias):
    """Where float32 would give another exponent, and sums wrap, the two differ in most bytes."""
    rng = np.random.default_rng(0)
    weights = np.array([[127, 36], [127, 127], [100, 30], [127, 90], [-127, -36]], np.int8)
    b, scale = Builder(), 24691412.0
    source, outputs = b.tensor((1, 2), scale), []
    while len(outputs) < 20:
        own = float(np.float32(np.exp(rng.uniform(-6, 0))))
        narrow = float(np.float32(scale) * np.float32(own))
        target = float(np.float32(narrow / 2.0 ** rng.integers(15, 19)))
        if np.frexp(narrow / target)[1] == np.frexp(scale * own / target)[1]:
            continue
        inputs = [source, b.tensor(weights.shape, own, data=weights)]
        if bias:
            inputs.append(b.tensor((5,), narrow, data=rng.integers(-99, 99, 5), dtype=INT32))
        outputs.append(b.tensor((1, 5), target))
        b.operator("FULLY_CONNECTED", inputs, outputs[-1:], "FullyConnectedOptions")
    wrong, _ = golden.differences(b.build([source], outputs), rng)
    assert not wrong


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("first", [False, True])
def test_every_input_with_a_constant_number(kind, first):
    rng = np.random.default_rng(1)
    for number in range(12):
        b = Builder()
        source = b.tensor((256,), 0.05, int(rng.integers(-128, 128)))
        value = b.tensor((), 0.1, 3, data=rng.integers(-128, 128, ()))
        output = b.tensor((256,), [0.1, 0.02, 0.5][number % 3], int(rng.integers(-128, 128)))
        b.operator(kind, [value, source] if first else [source, value], [output],
                   f"{kind.capitalize()}Options", fusedActivationFunction=number % 4)  # fmt: skip
        data = b.build([source], [output])
        assert (table_of(data) == TflmModel(data).invoke(EVERY)).all(), number


@pytest.mark.parametrize("how", [(False, False), (True, False), (False, True)])
def test_nearest_for_many_sizes(how):
    """Which column every output column is, for all pairs of small sizes."""
    for length in (1, 2, 3, 5, 7, 13, 64):
        for count in (1, 2, 3, 4, 6, 10, 17, 33, 100):
            b = Builder()
            source = b.tensor((1, 1, length, 1), 0.1, 0)
            size = b.tensor((2,), data=np.array([1, count]), dtype=INT32)
            output = b.tensor((1, 1, count, 1), 0.1, 0)
            b.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], [output],
                       "ResizeNearestNeighborOptions", alignCorners=how[0],
                       halfPixelCenters=how[1])  # fmt: skip
            interpreter = TflmModel(b.build([source], [output]))
            expected = interpreter.invoke(np.arange(length, dtype=np.int8).reshape(1, 1, -1, 1))
            assert nearest(length, count, Resize(*how)).tolist() == expected.reshape(-1).tolist()


def host_model(data, folder, **options):
    plan = compile_model(data, folder, name="model", **options)
    built = build_host(folder, folder / "model.so", kernels=golden.host_kernels())
    return plan, HostModel(built)


def float_border(inside: float = 0.1) -> tuple[bytes, int, int]:
    b, rng = Builder(), np.random.default_rng(2)
    real = b.tensor((1, 5, 4, 3), dtype=FLOAT32)
    source = b.tensor((1, 5, 4, 3), inside, -7)
    b.operator("QUANTIZE", [real], [source], "QuantizeOptions")
    result = random_ops.binary(b, rng, "MUL", source)
    output = b.tensor((1, 5, 4, 3), dtype=FLOAT32)
    b.operator("DEQUANTIZE", [result], [output], "DequantizeOptions")
    return b.build([real], [output]), source, result


def test_a_float_border_becomes_int8(tmp_path):
    """The caller quantizes; the firmware's int8 output stands for the interpreter's floats."""
    data, source, result = float_border()
    plan, model = host_model(data, tmp_path)
    assert (plan.input.index, plan.output.index) == (source, result)
    assert (plan.input.type, plan.output.type) == ("int8", "int8")
    assert plan.input.zero_point == -7 and plan.input.scale == np.float32(0.1)
    images = golden.random_inputs(model, np.random.default_rng(3), 3)[0]
    real = (images.astype(np.float32) + 7) * np.float32(0.1)
    interpreter = TflmModel(data)
    for image, floats, bytes_out in zip(images, real, model.invoke(images), strict=True):
        assert image.shape == floats.shape
        wanted = interpreter.invoke(floats[None])[0]
        scaled = plan.output.scale * (bytes_out.astype(np.float64) - plan.output.zero_point)
        assert (scaled.astype(np.float32) == wanted).all()


def test_a_uint8_border(tmp_path):
    b, rng = Builder(), np.random.default_rng(4)
    source, inside = random_ops.quantize_uint8_input(b, rng, (1, 6, 5, 3))
    output = random_ops.quantize_uint8_output(b, rng, random_ops.mul(b, rng, inside))
    data = b.build([source], [output])
    plan, model = host_model(data, tmp_path)
    assert (plan.input.type, plan.output.type) == ("uint8", "uint8")
    images = golden.random_inputs(model, rng, 4)[0]
    assert images.dtype == np.uint8
    interpreter = TflmModel(data)
    expected = np.concatenate([interpreter.invoke(image[None]) for image in images])
    assert (model.invoke(images) == expected).all() and expected.dtype == np.uint8


def test_inputs_that_nothing_reads_and_outputs_that_are_inputs(tmp_path):
    """Three inputs: one computed with, one only reshaped to an output, one not read at all."""
    b, rng = Builder(), np.random.default_rng(5)
    first, second, third = (b.tensor((1, 4, 3, 2), 0.1, z) for z in (0, 5, -9))
    product = random_ops.binary(b, rng, "MUL", first)
    flat = random_ops.same(b, second, (1, 24))
    shape = b.tensor((2,), data=np.array([1, 24]), dtype=INT32)
    b.operator("RESHAPE", [second, shape], [flat], "ReshapeOptions", newShape=[1, 24])
    data = b.build([first, second, third], [flat, product])
    plan, model = host_model(data, tmp_path)
    assert [len(plan.inputs), len(plan.outputs)] == [3, 2]
    inputs = golden.random_inputs(model, rng, 3)
    outputs = model.invoke_all(inputs)
    interpreter = TflmModel(data)
    for item in range(3):
        interpreter.invoke_all([array[item : item + 1] for array in inputs])
        for index in range(2):
            assert (interpreter.output(index)[0] == outputs[index][item]).all()


def test_one_of_several_inputs_cannot_be_pushed(tmp_path):
    b, rng = Builder(), np.random.default_rng(5)
    first, second = (b.tensor((1, 8, 3, 2), 0.1, 0) for _ in range(2))
    data = b.build([first, second], [random_ops.binary(b, rng, "MUL", first, second)])
    with pytest.raises(DeployError, match="2 inputs, only a single one can be pushed"):
        compile_model(data, tmp_path, name="two", schedule="rows", input_mode="rows")


def test_arithmetic_on_shapes_is_left_out(tmp_path):
    """What TensorFlow writes for Flatten: SHAPE, STRIDED_SLICE and PACK in front of a RESHAPE."""
    b, rng = Builder(), np.random.default_rng(6)
    source = b.tensor((1, 3, 4, 2), 0.1, 0)
    shape, batch, joined = (b.tensor(s, dtype=INT32) for s in ((4,), (), (2,)))
    b.operator("SHAPE", [source], [shape], "ShapeOptions", outType=INT32)
    bounds = [b.tensor((1,), data=np.array([v]), dtype=INT32) for v in (0, 1, 1)]
    b.operator("STRIDED_SLICE", [shape, *bounds], [batch], "StridedSliceOptions", shrinkAxisMask=1)
    rest = b.tensor((), data=np.array(24), dtype=INT32)
    b.operator("PACK", [batch, rest], [joined], "PackOptions", valuesCount=2)
    flat = random_ops.same(b, source, (1, 24))
    b.operator("RESHAPE", [source, joined], [flat], "ReshapeOptions")
    data = b.build([source], [random_ops.logistic(b, rng, flat)])
    plan, model = host_model(data, tmp_path)
    assert [layer.op for layer in plan.layers] == ["LOGISTIC"]
    image = golden.random_inputs(model, rng, 1)[0]
    assert (model.invoke(image) == TflmModel(data).invoke(image)).all()


def test_a_transpose_of_sizes_of_one_has_no_code():
    b = Builder()
    source = b.tensor((1, 1, 6, 4), 0.1, 0)
    order = b.tensor((4,), data=np.array([0, 2, 1, 3]), dtype=INT32)
    moved = random_ops.same(b, source, (1, 6, 1, 4))
    b.operator("TRANSPOSE", [source, order], [moved], "TransposeOptions")
    data = b.build([source], [random_ops.logistic(b, np.random.default_rng(0), moved)])
    first, second = lower_graph(read_graph(data, "model"))
    assert first.alias and second.kernel == "nb_lookup_s8"


def refused(kind, shape=(1, 4, 4, 2), out=None, constants=(), options="", quantization=(0.1, 0),
            inputs=1, **fields):  # fmt: skip
    """A model of one operator, as a case for the table below."""

    def build():
        b = Builder()
        operands = [b.tensor(shape, 0.1, 0, name="source") for _ in range(inputs)]
        operands += [b.tensor(np.shape(c), data=np.array(c), dtype=INT32) for c in constants]
        output = b.tensor(out or shape, *quantization, name="result")
        b.operator(kind, operands, [output], options, **fields)
        return b.build(operands[:inputs], [output])

    return build


RESIZE = {"kind": "RESIZE_BILINEAR", "options": "ResizeBilinearOptions"}
SLICE = {"kind": "STRIDED_SLICE", "options": "StridedSliceOptions"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (refused("LOGISTIC"), r"scale 1/256 and zero point -128"),
        (refused("TANH", quantization=(1 / 128, 1)), "scale 1/128 and zero point 0"),
        (refused("HARD_SWISH", quantization=(1e-5, 0)), "output scale is too small"),
        (refused("RELU", quantization=(1e-9, 0)), "output scale is too small"),
        (refused("RELU6", quantization=(0.2, 0)), "different quantization"),
        (refused("QUANTIZE", quantization=(1e-9, 0)), "output scale is too small"),
        (refused("MUL", inputs=2, quantization=(1e-7, 0)), "output scale is too small"),
        (refused("SUB", inputs=2, quantization=(1e-9, 0)), "scales are too far apart"),
        (refused("TRANSPOSE", constants=([0, 1, 2, 2],)), r"permutation \[0, 1, 2, 2\] is none"),
        (refused("TRANSPOSE", constants=([0, 3, 1],)), r"permutation \[0, 3, 1\] is none"),
        (refused("TRANSPOSE", constants=([0, 1, 2, 3],), quantization=(0.2, 0)), "different quant"),
        (refused(**SLICE, constants=([0] * 4, [1, 4, 4, 2], [1, 0, 1, 1])), "along axis 1 is 0"),
        (refused(**SLICE, constants=([0, 4, 0, 0], [1, 4, 4, 2], [1] * 4)), "nothing is left"),
        (refused(**SLICE, constants=([0] * 3, [1, 4, 4], [1] * 3)), r"begin must be int32 \[4\]"),
        (refused(**SLICE, constants=([0] * 4, [1, 4, 4, 2], [1] * 4), ellipsisMask=1), "ellipsis"),
        (refused(**RESIZE, constants=([8],)), "two int32 numbers, height and width"),
        (refused(**RESIZE, constants=([8, 0],)), r"size \[8, 0\] is outside 1..65535"),
        (refused(**RESIZE, constants=([8, 8],), alignCorners=True, halfPixelCenters=True),
         "exclude each other"),
        (refused(**RESIZE, shape=(1, 1, 4, 2), constants=([58, 4],), out=(1, 58, 4, 2)),
         "from 1 to 58 pixels the reference reads outside"),
        (refused("CONCATENATION", inputs=2, options="ConcatenationOptions", axis=4), "axis 4 is"),
        (refused("CONCATENATION", inputs=11, options="ConcatenationOptions", axis=3), "11 inputs"),
        (refused("CONCATENATION", options="ConcatenationOptions", axis=3, quantization=(0.2, 0)),
         "need one quantization"),
        (refused("CONCATENATION", options="ConcatenationOptions", axis=3,
                 fusedActivationFunction=1), "a fused activation is not supported"),
        (refused("DEQUANTIZE"), "only int8 runs here, and DEQUANTIZE may only"),
    ],
)  # fmt: skip
def test_what_is_refused(model, message):
    with pytest.raises(DeployError, match=message) as caught:
        read_graph(model(), "bad.tflite")
    text = str(caught.value)
    assert text.startswith("bad.tflite: operator 0 ") and "\n" not in text


def test_shapes_that_do_not_fit():
    for first, second, message in (
        ((1, 4, 4, 2), (1, 4, 3, 2), "do not fit together"),
        ((1, 4, 4, 2), (3,), "do not fit together"),
    ):
        b = Builder()
        tensors = [b.tensor(shape, 0.1, 0) for shape in (first, second, first)]
        b.operator("MUL", tensors[:2], tensors[2:], "MulOptions")
        with pytest.raises(DeployError, match=message):
            read_graph(b.build(tensors[:2], tensors[2:]), "bad.tflite")


def test_uint8_inside_is_refused():
    b = Builder()
    source = b.tensor((1, 4), 0.1, 128, dtype=UINT8)
    output = b.tensor((1, 4), 0.1, 0)
    b.operator("RELU", [source], [output])
    with pytest.raises(DeployError, match="is uint8; only int8 is supported here"):
        read_graph(b.build([source], [output]), "bad.tflite")


def test_a_float_input_that_two_read_is_refused():
    b = Builder()
    real = b.tensor((1, 4), dtype=FLOAT32)
    outputs = [b.tensor((1, 4), scale, 0) for scale in (0.1, 0.2)]
    for output in outputs:
        b.operator("QUANTIZE", [real], [output], "QuantizeOptions")
    with pytest.raises(DeployError, match="read by more than one QUANTIZE"):
        read_graph(b.build([real], outputs), "bad.tflite")


def test_borders_of_five_dimensions_are_refused():
    b = Builder()
    source = b.tensor((1, 1, 2, 2, 2), 0.1, 0)
    output = b.tensor((1, 1, 2, 2, 2), 0.1, 0)
    b.operator("RELU", [source], [output])
    with pytest.raises(DeployError, match="has 5 dimensions, at most 4"):
        read_graph(b.build([source], [output]), "bad.tflite")
