# SPDX-License-Identifier: Apache-2.0
"""Rewrites an int8 model into what bakenn's importer accepts; the arithmetic stays nearly the same.

bakenn wants certain operator versions, scales on biases, and knows no MEAN: a MEAN over an image
becomes AVERAGE_POOL_2D and RESHAPE, which keep the scale of their input. So the adapted model is
another model where MEAN changes the scale, and it is compared with its own reference.
"""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "AVERAGE_POOL_2D": 2,
             "MAX_POOL_2D": 2, "RESHAPE": 1, "PAD": 2}  # fmt: skip
_WITH_BIAS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}


def adapt(data: bytes) -> bytes:
    """The adapted flatbuffer."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    kinds = [_NAMES[code.builtinCode] for code in model.operatorCodes]
    codes: list[tuple[str, int]] = []
    operators: list[Any] = []

    def emit(operator: Any, kind: str, version: int) -> None:
        if (kind, version) not in codes:
            codes.append((kind, version))
        operator.opcodeIndex = codes.index((kind, version))
        operators.append(operator)

    for operator in graph.operators:
        kind = kinds[operator.opcodeIndex]
        inputs = list(operator.inputs)
        if kind == "MEAN":
            for new, new_kind in _pooled(model, graph, operator):
                emit(new, new_kind, _VERSIONS[new_kind])
            continue
        if kind in _WITH_BIAS and len(inputs) > 2 and inputs[2] >= 0:
            _scale_bias(graph, inputs)
        if kind == "FULLY_CONNECTED":
            operator.builtinOptions.keepNumDims = False
            emit(operator, kind, 4 if len(inputs) > 2 and inputs[2] >= 0 else 6)
        else:
            emit(operator, kind, _VERSIONS.get(kind, 1))
    graph.operators = operators
    model.operatorCodes = []
    for kind, version in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder(len(data) + 65536)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _scale_bias(graph: Any, inputs: list[int]) -> None:
    source, weights, bias = (graph.tensors[index] for index in inputs[:3])
    scales = np.asarray(weights.quantization.scale, np.float32)
    quantization = schema.QuantizationParametersT()
    product = np.float64(np.float32(source.quantization.scale[0])) * scales.astype(np.float64)
    quantization.scale = product.astype(np.float32)
    quantization.zeroPoint = np.zeros(len(scales), np.int64)
    bias.quantization = quantization
    weights.quantization.zeroPoint = np.zeros(len(scales), np.int64)


def _pooled(model: Any, graph: Any, mean: Any) -> list[tuple[Any, str]]:
    """AVERAGE_POOL_2D and RESHAPE for a MEAN over height and width."""
    source, target = graph.tensors[mean.inputs[0]], graph.tensors[mean.outputs[0]]
    _, height, width, channels = list(source.shape)
    target.quantization = source.quantization
    pooled = schema.TensorT()
    pooled.name, pooled.type, pooled.buffer = b"pooled", source.type, 0
    pooled.shape, pooled.quantization = [1, 1, 1, channels], source.quantization
    graph.tensors.append(pooled)
    pool = schema.OperatorT()
    pool.inputs, pool.outputs = [mean.inputs[0]], [len(graph.tensors) - 1]
    pool.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = 1, 1, 1
    options.filterHeight, options.filterWidth = height, width
    pool.builtinOptions = options
    if len(target.shape) == 4:
        pool.outputs = list(mean.outputs)
        return [(pool, "AVERAGE_POOL_2D")]
    buffer = schema.BufferT()
    buffer.data = np.array([1, channels], np.int32).view(np.uint8)
    model.buffers.append(buffer)
    shape = schema.TensorT()
    shape.name, shape.type, shape.shape = b"shape", schema.TensorType.INT32, [2]
    shape.buffer = len(model.buffers) - 1
    graph.tensors.append(shape)
    reshape = schema.OperatorT()
    reshape.inputs = [len(graph.tensors) - 2, len(graph.tensors) - 1]
    reshape.outputs = list(mean.outputs)
    reshape.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    reshape.builtinOptions = schema.ReshapeOptionsT()
    reshape.builtinOptions.newShape = [1, channels]
    return [(pool, "AVERAGE_POOL_2D"), (reshape, "RESHAPE")]
