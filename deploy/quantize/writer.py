# SPDX-License-Identifier: Apache-2.0
"""The flatbuffer: tensors, buffers and operators of one subgraph, as TFLite Micro reads them.

Buffers lie inside the file, each aligned to 16 bytes. Two things keep the file small without
changing what any reader computes: the zero points of per-channel weights, all zero, are one shared
vector for each length, and per-channel biases carry no quantization (it is implied by input and
weights). The bytes depend on nothing but the content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from deploy.quantize.scheme import quantize_weights
from deploy.quantize.tensors import FloatTensor
from deploy.tflite import Quantization

_ALIGNMENT = 16
_TYPES = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
}


class _Buffer(schema.BufferT):
    """A buffer whose bytes are aligned in the file; the generated class aligns to 4 only."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the generated name)
        vector = None
        if self.content:
            builder.Prep(_ALIGNMENT, len(self.content))
            vector = builder.CreateByteVector(self.content)
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class _QuantizationParameters(schema.QuantizationParametersT):
    """Scales, and zero points that are shared between all tensors with as many channels."""

    def __init__(self, quantization: Quantization, shared: dict[tuple[int, ...], int]) -> None:
        super().__init__()
        self.quantization, self.shared = quantization, shared

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the generated name)
        scale = builder.CreateNumpyVector(np.array(self.quantization.scales, np.float32))
        key = self.quantization.zero_points
        if key not in self.shared:
            self.shared[key] = builder.CreateNumpyVector(np.array(key, np.int64))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, self.shared[key])
        schema.QuantizationParametersAddQuantizedDimension(builder, self.quantization.axis)
        return int(schema.QuantizationParametersEnd(builder))


def pack(model: schema.ModelT) -> bytes:
    """A .tflite file: ``model`` with all its buffers inside."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class FlatbufferWriter:
    """Collects one subgraph and packs it.

    Args:
        quantization: scale and zero point of every activation.
    """

    def __init__(self, quantization: Mapping[FloatTensor, Quantization]) -> None:
        self._quantization = quantization
        self._buffers = [_Buffer(b"")]  # buffer 0 is empty by convention
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}
        self._activations: dict[FloatTensor, int] = {}
        self._tables: dict[tuple[str, bytes, tuple[int, ...]], int] = {}
        self._zero_points: dict[tuple[int, ...], int] = {}

    def activation(self, tensor: FloatTensor) -> int:
        """The index of an activation, which is added at its first mention."""
        if tensor not in self._activations:
            self._activations[tensor] = self._add(
                tensor.name, tensor.shape, schema.TensorType.INT8, 0, self._quantization[tensor]
            )
        return self._activations[tensor]

    def constant(
        self, name: str, values: np.ndarray, quantization: Quantization | None = None
    ) -> int:
        """Add a constant (int8 or int32) and answer with its index; equal tables are shared."""
        content = np.ascontiguousarray(values).tobytes()
        key = (name, content, values.shape)
        if quantization is None and key in self._tables:
            return self._tables[key]
        self._buffers.append(_Buffer(content))
        index = self._add(
            name, values.shape, _TYPES[values.dtype], len(self._buffers) - 1, quantization
        )
        if quantization is None:
            self._tables[key] = index
        return index

    def parameters(
        self,
        layer: str,
        weight: np.ndarray,
        bias: np.ndarray,
        source: FloatTensor,
        *,
        arrange: Callable[[np.ndarray], np.ndarray],
        axis: int | None,
    ) -> list[int]:
        """Add weight and bias of a layer and answer with their indices.

        Args:
            weight, bias: float64, output channels first.
            source: the activation that the layer reads.
            arrange: brings an array of the weight's shape into TFLite's layout.
            axis: of the output channels in that layout; None quantizes per tensor.
        """
        own = self._quantization[source]
        codes, scales, bias_codes = quantize_weights(
            weight, bias, own.scales[0], per_channel=axis is not None
        )
        weights = Quantization(tuple(scales.tolist()), (0,) * len(scales), axis or 0)
        return [
            self.constant(f"{layer}/weight", arrange(codes), weights),
            self._bias(f"{layer}/bias", bias_codes, own, weights),
        ]

    def _bias(
        self, name: str, codes: np.ndarray, source: Quantization, weights: Quantization
    ) -> int:
        """Add an int32 bias of scale input * weights."""
        implied = None
        if len(weights.scales) == 1:  # TFLM checks the scale of per-tensor biases
            implied = Quantization.per_tensor(source.scales[0] * weights.scales[0], 0)
        self._buffers.append(_Buffer(codes.astype(np.int32).tobytes()))
        return self._add(
            name, codes.shape, schema.TensorType.INT32, len(self._buffers) - 1, implied
        )

    def operator(
        self, name: str, version: int, options: Any, inputs: Sequence[int], output: FloatTensor
    ) -> None:
        """Append an operator; ``name`` and ``version`` as in the schema, ``options`` or None."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((name, version), len(self._codes))
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([self.activation(output)], np.int32)
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self._operators.append(operator)

    def finish(
        self, source: FloatTensor, outputs: Sequence[FloatTensor], metadata: Mapping[str, str]
    ) -> bytes:
        """The file: one subgraph, and one metadata entry (UTF-8) for each item, by name."""
        model = schema.ModelT()
        model.version = 3
        model.description = "NetBooster"
        model.operatorCodes = [_operator_code(*code) for code in self._codes]
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.inputs = np.array([self.activation(source)], np.int32)
        graph.outputs = np.array([self.activation(tensor) for tensor in outputs], np.int32)
        graph.tensors, graph.operators = self._tensors, self._operators
        model.subgraphs = [graph]
        model.metadata = []
        for name in sorted(metadata):
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, len(self._buffers)
            self._buffers.append(_Buffer(metadata[name].encode()))
            model.metadata.append(entry)
        model.buffers = self._buffers
        self._zero_points.clear()
        return pack(model)

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int,
        buffer: int,
        quantization: Quantization | None,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name, kind, buffer
        tensor.shape = np.array(shape, np.int32)
        if quantization is not None:
            tensor.quantization = _QuantizationParameters(quantization, self._zero_points)
        self._tensors.append(tensor)
        return len(self._tensors) - 1


class FloatWriter(FlatbufferWriter):
    """The same operators in float32: what TFLite would compute without quantization."""

    def __init__(self) -> None:
        super().__init__({})

    def activation(self, tensor: FloatTensor) -> int:
        """The index of a float32 activation."""
        if tensor not in self._activations:
            kind = schema.TensorType.FLOAT32
            self._activations[tensor] = self._add(tensor.name, tensor.shape, kind, 0, None)
        return self._activations[tensor]

    def parameters(
        self,
        layer: str,
        weight: np.ndarray,
        bias: np.ndarray,
        source: FloatTensor,
        *,
        arrange: Callable[[np.ndarray], np.ndarray],
        axis: int | None,
    ) -> list[int]:
        """Add float32 weight and bias."""
        return [
            self.constant(f"{layer}/weight", arrange(weight).astype(np.float32)),
            self.constant(f"{layer}/bias", bias.astype(np.float32)),
        ]


def _operator_code(name: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code
