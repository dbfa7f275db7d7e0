# SPDX-License-Identifier: Apache-2.0
"""Damage to the meaning of a model rather than to its bytes: the flatbuffer stays well formed."""

import contextlib
import math
import random
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIZES = (-(2**31), -7, -1, 0, 1, 2, 3, 5, 255, 256, 65535, 65536, 2**20, 2**30, 2**31 - 1)
SCALES = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e-45, 1e-38, 1e-20, 1e-9, 1e-3, 1.0,
          1e9, 3e38)  # fmt: skip
ZEROS = (-(2**63), -(2**31), -129, -128, -1, 0, 1, 127, 128, 255, 256, 2**31, 2**63 - 1)
CODES = [value for value in vars(schema.BuiltinOperator).values() if isinstance(value, int)]
KNOWN = ("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE",
         "FULLY_CONNECTED", "HARD_SWISH", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD",
         "QUANTIZE", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
         "SOFTMAX", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE")  # fmt: skip


def damage(data: bytes, chooser: random.Random) -> bytes:
    """The model with one to four of its parts changed."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for _ in range(chooser.choice((1, 1, 1, 2, 4))):
        # What an earlier change left empty cannot be changed again.
        with contextlib.suppress(IndexError, ValueError):
            chooser.choice(_KINDS)(model, model.subgraphs[0], chooser)
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except TypeError:  # a number that its field cannot hold, so no file can have it
        return data
    return bytes(builder.Output())


def _shape(model: Any, graph: Any, chooser: random.Random) -> None:
    tensor = chooser.choice(graph.tensors)
    shape = [] if tensor.shape is None else [int(v) for v in tensor.shape]
    kind = chooser.randrange(5)
    if kind == 0 or not shape:
        shape = [chooser.choice(SIZES) for _ in range(chooser.randrange(9))]
    elif kind == 1:
        shape.insert(chooser.randrange(len(shape) + 1), 1)
    elif kind == 2:
        del shape[chooser.randrange(len(shape))]
    elif kind == 3:
        tensor.shapeSignature = [-1, *shape[1:]]
    else:
        shape[chooser.randrange(len(shape))] = chooser.choice(SIZES)
    tensor.shape = shape


def _consistent_shape(model: Any, graph: Any, chooser: random.Random) -> None:
    """One size replaced wherever it stands, so that later checks are reached."""
    sizes = sorted({int(v) for t in graph.tensors if t.shape is not None for v in t.shape})
    if not sizes:
        return
    old, new = chooser.choice(sizes), chooser.choice(SIZES)
    for tensor in graph.tensors:
        if tensor.shape is not None:
            tensor.shape = [new if int(v) == old else int(v) for v in tensor.shape]


def _type(model: Any, graph: Any, chooser: random.Random) -> None:
    chooser.choice(graph.tensors).type = chooser.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 17, 100))


def _buffer(model: Any, graph: Any, chooser: random.Random) -> None:
    tensor = chooser.choice(graph.tensors)
    tensor.buffer = chooser.choice((0, 1, len(model.buffers) - 1, len(model.buffers), 2**31))


def _data(model: Any, graph: Any, chooser: random.Random) -> None:
    """Constants of other length or content; the short ones are axes, bounds and sizes."""
    full = [b for b in model.buffers if b.data is not None and len(b.data)]
    if not full:
        return
    buffer = chooser.choice(full)
    data = np.array(buffer.data, np.uint8)
    kind = chooser.randrange(5)
    if kind == 0:
        buffer.data = data[: chooser.randrange(len(data))]
    elif kind == 1:
        buffer.data = np.concatenate([data, data])
    elif kind == 2:
        buffer.data = None
    elif kind == 3 and len(data) % 4 == 0:
        words = data.view(np.int32).copy()
        words[chooser.randrange(len(words))] = chooser.choice(SIZES)
        buffer.data = words.view(np.uint8)
    else:
        data[chooser.randrange(len(data))] = chooser.randrange(256)
        buffer.data = data


def _outside(model: Any, graph: Any, chooser: random.Random) -> None:
    buffer = chooser.choice(model.buffers)
    buffer.offset, buffer.size = chooser.choice(((2**40, 8), (1, 2**62), (2, 2)))


def _quantization(model: Any, graph: Any, chooser: random.Random) -> None:
    tensor = chooser.choice(graph.tensors)
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or chooser.randrange(8) == 0:
        tensor.quantization = None if quantization else schema.QuantizationParametersT()
        return
    scales = np.array(quantization.scale, np.float32)
    kind = chooser.randrange(6)
    if kind == 0:
        scales[chooser.randrange(len(scales))] = chooser.choice(SCALES)
    elif kind == 1:
        with np.errstate(over="ignore"):
            scales *= np.float32(10.0 ** chooser.randint(-30, 30))
    elif kind == 2:
        scales = np.concatenate([scales, scales[: chooser.randrange(len(scales)) + 1]])
    elif kind == 3:
        quantization.zeroPoint = np.full(len(scales), chooser.choice(ZEROS), np.int64)
    elif kind == 4:
        quantization.zeroPoint = np.zeros(chooser.randrange(4), np.int64)
    else:
        quantization.quantizedDimension = chooser.choice(SIZES)
    quantization.scale = scales


def _operands(model: Any, graph: Any, chooser: random.Random) -> None:
    """Tensors that do not exist, are left out, doubled, or computed later: cycles."""
    if not graph.operators:
        return
    operator = chooser.choice(graph.operators)
    side = chooser.choice(("inputs", "outputs"))
    values = [int(v) for v in getattr(operator, side)]
    kind = chooser.randrange(4)
    if kind == 0 and values:
        del values[chooser.randrange(len(values))]
    elif kind == 1:
        values += [chooser.randrange(len(graph.tensors))] * chooser.choice((1, 2, 70))
    elif values:
        choices = (-2, -1, len(graph.tensors), 2**31 - 1, chooser.randrange(len(graph.tensors)))
        values[chooser.randrange(len(values))] = chooser.choice(choices)
    setattr(operator, side, values)


def _border(model: Any, graph: Any, chooser: random.Random) -> None:
    side = chooser.choice(("inputs", "outputs"))
    values = [int(v) for v in getattr(graph, side)]
    choices = (-1, len(graph.tensors), chooser.randrange(len(graph.tensors)))
    if values and chooser.randrange(2):
        values[chooser.randrange(len(values))] = chooser.choice(choices)
    else:
        values.append(chooser.choice(choices))
    setattr(graph, side, values if chooser.randrange(6) else [])


def _options(model: Any, graph: Any, chooser: random.Random) -> None:
    if not graph.operators:
        return
    operator = chooser.choice(graph.operators)
    options = operator.builtinOptions
    fields = list(vars(options)) if options is not None else []
    if not fields or chooser.randrange(8) == 0:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        return
    name = chooser.choice(fields)
    old = getattr(options, name)
    new: Any = chooser.choice(SIZES)
    if isinstance(old, bool):
        new = not old
    elif isinstance(old, float):
        new = chooser.choice(SCALES)
    elif not isinstance(old, int):
        return
    elif name in ("padding", "fusedActivationFunction", "weightsFormat", "quantizedBiasType"):
        new = chooser.randrange(-128, 128)
    setattr(options, name, new)


def _operator(model: Any, graph: Any, chooser: random.Random) -> None:
    """Another operator under the same operands and options."""
    code = chooser.choice(model.operatorCodes)
    new = chooser.choice(CODES)
    if chooser.randrange(4):
        new = getattr(schema.BuiltinOperator, chooser.choice(KNOWN))
    code.builtinCode, code.deprecatedBuiltinCode = new, min(new, 127)
    for operator in graph.operators:
        if chooser.randrange(2):
            operator.builtinOptions, operator.builtinOptionsType = None, 0


def _index(model: Any, graph: Any, chooser: random.Random) -> None:
    if graph.operators:
        chooser.choice(graph.operators).opcodeIndex = chooser.choice((0, 1, 99, 2**31))


def _order(model: Any, graph: Any, chooser: random.Random) -> None:
    chooser.shuffle(graph.operators)


def _part(model: Any, graph: Any, chooser: random.Random) -> None:
    """A whole part of the file left out or doubled."""
    kind = chooser.randrange(7)
    if kind == 0:
        model.subgraphs.append(graph)
    elif kind == 1:
        model.version = chooser.choice((0, 2, 4, 2**31))
    elif kind == 2:
        graph.operators = []
    elif kind == 3:
        model.buffers = model.buffers[: chooser.randrange(len(model.buffers) + 1)]
    elif kind == 4:
        chooser.choice(graph.tensors).isVariable = True
    elif kind == 5:
        chooser.choice(graph.tensors).name = chooser.choice(
            (None, b"\xff\xfe", b'"\n\\', b"n" * 999)
        )
    else:
        chooser.choice(graph.tensors).sparsity = schema.SparsityParametersT()


_KINDS = (_shape, _shape, _consistent_shape, _consistent_shape, _type, _buffer, _data, _data,
          _outside, _quantization, _quantization, _quantization, _operands, _operands, _border,
          _options, _options, _operator, _operator, _index, _order, _part)  # fmt: skip
