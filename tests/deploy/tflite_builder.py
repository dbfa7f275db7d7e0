# SPDX-License-Identifier: Apache-2.0
"""Builds small int8 .tflite models for tests, with the schema's object API."""

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

INT8, UINT8, INT32, FLOAT32 = 9, 3, 2, 0
_TYPES = {INT8: np.int8, UINT8: np.uint8, INT32: np.int32, FLOAT32: np.float32}


@dataclass
class Builder:
    """Tensors and operators are added in order; ``build`` gives the flatbuffer."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    codes: list[int] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float | np.ndarray | None = None,
        zero_point: int = 0,
        data: np.ndarray | None = None,
        dtype: int = INT8,
        axis: int = 0,
        name: str | None = None,
    ) -> int:
        """Add a tensor; returns its index."""
        tensor = schema.TensorT()
        tensor.name = (name or f"t{len(self.tensors)}").encode()
        tensor.shape = list(shape)
        tensor.type = dtype
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.ascontiguousarray(data, _TYPES[dtype]).reshape(-1).view(np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.scale = scales
            quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(
        self, kind: str, inputs: list[int], outputs: list[int], options: str = "", **fields: Any
    ) -> None:
        """Add an operator, e.g. ``operator("ADD", [0, 1], [2], "AddOptions")``."""
        code = getattr(schema.BuiltinOperator, kind)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for key, value in fields.items():
                assert hasattr(operator.builtinOptions, key), key
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The flatbuffer."""
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        subgraph.name = b"main"
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [subgraph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
