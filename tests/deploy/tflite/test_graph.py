# SPDX-License-Identifier: Apache-2.0
"""The importer: what it reads, and that nothing malformed gets past it or breaks it."""

import random
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import random_models
from ai_edge_litert import schema_py_generated as schema
from tflite_builder import FLOAT32, INT32, Builder

from deploy.core.errors import DeployError
from deploy.tflite import lower_graph, read_graph, supported_operators
from deploy.tflite.numerics import quantize_multiplier

PEERS = Path(__file__).parents[2] / "data" / "peers"
SMALL = (PEERS / "small_32_int8.tflite").read_bytes()


def pack(model) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def edited(change, data: bytes = SMALL) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    change(model, model.subgraphs[0])
    return pack(model)


@pytest.mark.parametrize(
    ("name", "operators", "macs"),
    [
        ("small_32_int8", 23, 785_024),
        ("mbv2_tiny_144_int8", 64, 23_499_152),
        ("mcunet_in3_176_int8", 67, 81_785_520),
    ],
)
def test_reads_the_peers_models(name, operators, macs):
    graph = read_graph((PEERS / f"{name}.tflite").read_bytes(), name)
    assert len(graph.operators) == operators
    assert sum(layer.macs for layer in lower_graph(graph)) == macs


def test_supported_operators_are_sorted_schema_names():
    names = supported_operators()
    assert names == sorted(names)
    assert all(hasattr(schema.BuiltinOperator, name) for name in names)


def test_every_truncation_is_an_error():
    for length in range(0, len(SMALL), 97):
        with pytest.raises(DeployError):
            read_graph(SMALL[:length], "cut.tflite")


def fuzz(count: int, seed: int) -> int:
    """Damage a model in a few places; read and lower it. Returns how many were refused."""
    chooser = random.Random(seed)
    tiny = random_models.graph(np.random.default_rng(5))
    refused = 0
    for _ in range(count):
        data = bytearray(tiny if chooser.random() < 0.8 else SMALL)
        # The structure lies before and after the constants: hit all of the small model.
        for _ in range(chooser.randint(1, 4)):
            position = chooser.randrange(len(data))
            kind = chooser.randrange(4)
            if kind == 0:
                data[position] = chooser.randrange(256)
            elif kind == 1:
                data[position] ^= 1 << chooser.randrange(8)
            else:
                word = chooser.choice(
                    [0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, chooser.getrandbits(32)]
                )
                position &= ~3
                data[position : position + 4] = word.to_bytes(4, "little")
        try:
            lower_graph(read_graph(bytes(data), "f"))
        except DeployError:
            refused += 1
    return refused


def test_fuzzed_models_never_crash_the_importer():
    assert fuzz(2000, 1) > 100


@pytest.mark.slow
def test_fuzzed_models_never_crash_the_importer_slow():
    assert fuzz(100_000, 2) > 5000


def set_scale(value):
    def change(model, graph):
        graph.tensors[graph.inputs[0]].quantization.scale = np.array([value], np.float32)

    return change


def set_shape(shape):
    def change(model, graph):
        graph.tensors[graph.inputs[0]].shape = shape

    return change


def set_dynamic(model, graph):
    graph.tensors[graph.inputs[0]].shapeSignature = [1, -1, 32, 3]


def set_open_batch_of_2(model, graph):
    graph.tensors[graph.inputs[0]].shape = [2, 32, 32, 3]
    graph.tensors[graph.inputs[0]].shapeSignature = [-1, 32, 32, 3]


def set_zero_point(model, graph):
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = np.array([300], np.int64)


def set_operator_input(value):
    def change(model, graph):
        graph.operators[3].inputs = [value, *list(graph.operators[3].inputs)[1:]]

    return change


def add_subgraph(model, graph):
    model.subgraphs.append(graph)


def cut_buffer(model, graph):
    index = graph.tensors[graph.operators[0].inputs[1]].buffer
    model.buffers[index].data = model.buffers[index].data[:-1]


def set_buffer_index(model, graph):
    graph.tensors[graph.operators[0].inputs[1]].buffer = 10_000


def set_cycle(model, graph):
    later = graph.operators[5].outputs[0]
    graph.operators[2].inputs = [later, *list(graph.operators[2].inputs)[1:]]


def write_twice(model, graph):
    graph.operators[2].outputs = graph.operators[1].outputs


def set_stride(model, graph):
    graph.operators[0].builtinOptions.strideW = 0


def set_dilation(model, graph):
    graph.operators[0].builtinOptions.dilationHFactor = -3


def set_activation(model, graph):
    graph.operators[0].builtinOptions.fusedActivationFunction = 4


def set_output_shape(model, graph):
    graph.tensors[graph.operators[0].outputs[0]].shape = [1, 16, 16, 15]


def drop_quantization(model, graph):
    graph.tensors[graph.operators[0].outputs[0]].quantization = None


def drop_options(model, graph):
    graph.operators[0].builtinOptions = None
    graph.operators[0].builtinOptionsType = 0


def swap_options(model, graph):
    graph.operators[0].builtinOptions = schema.SoftmaxOptionsT()
    graph.operators[0].builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions


def set_operator(model, graph):
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.TRANSPOSE_CONV
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE_CONV


def set_custom(model, graph):
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"MyOp"


def set_weight_zero_point(model, graph):
    weights = graph.tensors[graph.operators[0].inputs[1]]
    weights.quantization.zeroPoint = np.full(len(weights.quantization.scale), 3, np.int64)


def constant_output(model, graph):
    graph.outputs = [graph.operators[0].inputs[1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_scale(float("nan")), "scale is not a finite number above 0"),
        (set_scale(float("inf")), "scale is not a finite number above 0"),
        (set_scale(0.0), "scale is not a finite number above 0"),
        (set_scale(-0.5), "scale is not a finite number above 0"),
        (set_shape([1, -32, 32, 3]), "is dynamic"),
        (set_shape([1, 0, 32, 3]), "is empty"),
        (set_shape([1, 1 << 30, 1 << 30, 3]), "more than a model can need"),
        (set_shape([1] * 9), "9 dimensions"),
        (set_shape([2, 32, 32, 3]), "one NHWC image"),
        (set_dynamic, "is dynamic"),
        (set_open_batch_of_2, "is dynamic"),
        (set_zero_point, "zero point is outside the range of int8"),
        (set_operator_input(5000), "names a tensor that does not exist"),
        (set_operator_input(-2), "names a tensor that does not exist"),
        (set_operator_input(-1), "input 0 is missing"),
        (add_subgraph, "2 subgraphs"),
        (cut_buffer, "its buffer has 431 bytes"),
        (set_buffer_index, "buffer 10000 does not exist"),
        (set_cycle, "read before anything writes it"),
        (write_twice, "a second time"),
        (set_stride, "stride 0 is outside"),
        (set_dilation, "dilation -3 is outside"),
        (set_activation, "fused activation 4 is not supported"),
        (set_output_shape, r"declared as \[1, 16, 16, 15\] but must be \[1, 16, 16, 16\]"),
        (drop_quantization, "no per-tensor quantization"),
        (drop_options, "has no options"),
        (swap_options, "options of another operator"),
        (set_operator, r"operator 0 TRANSPOSE_CONV \(output tensor \d+ .*is not supported"),
        (set_custom, "operator 0 CUSTOM 'MyOp'"),
        (set_weight_zero_point, "have a zero point"),
        (constant_output, "is never computed"),
    ],
)
def test_malformed_models_are_named(change, message):
    with pytest.raises(DeployError, match=message) as caught:
        read_graph(edited(change), "bad.tflite")
    assert str(caught.value).startswith("bad.tflite: ")
    assert "\n" not in str(caught.value)


def test_not_a_flatbuffer():
    for data in (b"", b"TFL3", b"PK\x03\x04" + b"\x00" * 100, b"\x00" * 1000):
        with pytest.raises(DeployError, match="not a TFLite model"):
            read_graph(data, "x.tflite")


def test_a_float_model_is_told_to_be_quantized():
    b = Builder()
    source = b.tensor((1, 4, 4, 2), dtype=FLOAT32)
    weights = b.tensor((3, 1, 1, 2), data=np.ones((3, 1, 1, 2)), dtype=FLOAT32)
    output = b.tensor((1, 4, 4, 3), dtype=FLOAT32)
    b.operator("CONV_2D", [source, weights], [output], "Conv2DOptions", strideH=1, strideW=1)
    with pytest.raises(DeployError, match="a float model .*quantize it"):
        read_graph(b.build([source], [output]), "float.tflite")


def test_a_huge_vector_length_does_not_hang():
    """A vector that claims 2**32 - 1 tensors ends with an error at once."""
    data = bytearray(SMALL)
    root = int.from_bytes(data[:4], "little")
    vtable = root - int.from_bytes(data[root : root + 4], "little", signed=True)
    field = root + int.from_bytes(data[vtable + 8 : vtable + 10], "little")  # subgraphs
    vector = field + int.from_bytes(data[field : field + 4], "little")
    data[vector : vector + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(DeployError, match="ends outside the file"):
        read_graph(bytes(data), "long.tflite")


def test_a_multiplier_that_the_reference_cannot_hold_is_refused():
    b = Builder()
    source = b.tensor((1, 4, 4, 1), 1e6, 0)
    weights = b.tensor((1, 1, 1, 1), 1e6, data=np.ones((1, 1, 1, 1)))
    output = b.tensor((1, 4, 4, 1), 1e-3, 0)
    b.operator("CONV_2D", [source, weights], [output], "Conv2DOptions", strideH=1, strideW=1)
    with pytest.raises(DeployError, match="output scale 0.001 is too small for input scale 1e"):
        read_graph(b.build([source], [output]), "steep.tflite")


def test_mean_over_channels_is_refused():
    b = Builder()
    source = b.tensor((1, 4, 4, 2), 0.1, 0)
    axes = b.tensor((1,), data=np.array([3]), dtype=INT32)
    output = b.tensor((1, 4, 4), 0.1, 0)
    b.operator("MEAN", [source, axes], [output], "ReducerOptions", keepDims=False)
    with pytest.raises(DeployError, match=r"mean over axes \[3\]"):
        read_graph(b.build([source], [output]), "mean.tflite")


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (1 << 30, 0)),
        (1.0, (1 << 30, 1)),
        (1.0 - 2.0**-40, (1 << 30, 1)),  # rounds up to 1.0
        (2.0**-33, (0, 0)),  # below what the shift can hold
        (0.75, (3 << 29, 0)),
        (3.0, (3 << 29, 2)),
    ],
)
def test_quantize_multiplier(real, expected):
    assert quantize_multiplier(real) == expected
