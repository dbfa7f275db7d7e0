# SPDX-License-Identifier: Apache-2.0
"""Nets of the same kind as a given one, with other widths, kernels, resolutions and classes.

The given .tflite file is read with the schema's object API; its channels, depthwise kernels, input
and classifier change, everything else stays: operators, strides, shortcuts, scales. Weights are
drawn anew.
"""

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_CONV, _DEPTHWISE, _FULL, _ADD, _MEAN = (
    getattr(schema.BuiltinOperator, name)
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MEAN")
)
_SAME = schema.Padding.SAME


@dataclass(frozen=True)
class Change:
    """What a variant has that its original has not; None keeps the original's.

    Attributes:
        width: factor of every channel count but the image's and the classes'.
        multiple: channel counts are rounded to multiples of this.
        kernel: height and width of every depthwise kernel.
        resolution: height and width of the image.
        classes: outputs of the classifier.
    """

    width: float = 1.0
    multiple: int = 1
    kernel: int | None = None
    resolution: int | None = None
    classes: int | None = None

    @property
    def name(self) -> str:
        """What differs, in words."""
        parts = []
        if self.width != 1.0:
            parts.append(f"width x{self.width:g}")
            if self.multiple != 1:
                parts[-1] += f" by {self.multiple}"
        if self.kernel is not None:
            parts.append(f"kernel {self.kernel}")
        if self.resolution is not None:
            parts.append(f"{self.resolution} px")
        if self.classes is not None:
            parts.append(f"{self.classes} classes")
        return ", ".join(parts) or "itself"

    def channels(self, count: int) -> int:
        """The channel count that takes a count's place."""
        wanted = count * self.width
        return max(self.multiple, int(wanted / self.multiple + 0.5) * self.multiple)


def make_variant(data: bytes, change: Change, seed: int = 0) -> bytes:
    """A .tflite file of the same kind as ``data``: a chain of SAME or 1x1 VALID convolutions with
    shortcuts (ADD), MEAN and one FULLY_CONNECTED at the end.

    Raises:
        ValueError: ``data`` has another operator.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    return _Variant(model, change, seed).build()


class _Variant:
    def __init__(self, model: Any, change: Change, seed: int) -> None:
        self.model, self.change = model, change
        (self.graph,) = model.subgraphs
        self.rng = np.random.default_rng(seed)

    def build(self) -> bytes:
        (source,) = self.graph.inputs
        image = self.graph.tensors[source]
        side = self.change.resolution or int(image.shape[1])
        image.shape = [1, side, side, int(image.shape[3])]
        for op in self.graph.operators:
            code = self.model.operatorCodes[op.opcodeIndex].builtinCode
            output = self.graph.tensors[op.outputs[0]]
            output.shape = [int(size) for size in self._shape(op, code)]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _shape(self, op: Any, code: int) -> list[int]:
        """Give an operator its new constants; returns the output's shape."""
        source = [int(size) for size in self.graph.tensors[op.inputs[0]].shape]
        if code == _ADD:
            return source
        if code == _MEAN:
            return [1, source[3]]
        weights = self.graph.tensors[op.inputs[1]]
        shape = [int(size) for size in weights.shape]
        if code == _FULL:
            channels = self.change.classes or shape[0]
            self._constants(op, [channels, source[-1]], axis=0)
            return [1, channels]
        options = op.builtinOptions
        if code == _CONV:
            channels = self.change.channels(shape[0])
            self._constants(op, [channels, *shape[1:3], source[3]], axis=0)
        elif code == _DEPTHWISE:
            channels = source[3]
            side = self.change.kernel or shape[1]
            shape[1:3] = side, side
            self._constants(op, [1, side, side, channels], axis=3)
        else:
            raise ValueError(f"operator code {code} is not of this kind of net")
        if options.padding != _SAME and shape[1:3] != [1, 1]:
            raise ValueError("a convolution without padding is not of this kind of net")
        return [1, -(-source[1] // options.strideH), -(-source[2] // options.strideW), channels]

    def _constants(self, op: Any, shape: list[int], axis: int) -> None:
        """New weights and bias; scales and biases repeat those of the original."""
        weights, bias = (self.graph.tensors[index] for index in op.inputs[1:3])
        channels = shape[axis]
        taps = int(np.prod(weights.shape)) // int(weights.shape[axis])
        values = np.clip(self.rng.normal(0, 40, shape), -127, 127).round().astype(np.int8)
        # As much comes out of more or fewer products: activations stay alive.
        gain = np.sqrt(taps / (np.prod(shape) / channels))
        for tensor, factor in ((weights, gain), (bias, gain)):
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is not None:
                count = 1 if len(quantization.scale) == 1 else channels
                quantization.scale = np.resize(quantization.scale, count) * np.float32(factor)
                quantization.zeroPoint = np.zeros(count, np.int64)
        old = np.asarray(self.model.buffers[bias.buffer].data, np.uint8).view(np.int32)
        new = np.resize(old, channels)
        weights.shape, bias.shape = shape, [channels]
        self._store(weights, values)
        self._store(bias, (new / gain).round().astype(np.int32))

    def _store(self, tensor: Any, values: np.ndarray) -> None:
        """A buffer of its own, because equal constants may share one."""
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        tensor.buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
