# SPDX-License-Identifier: Apache-2.0
"""The typed graph that the compiler works on."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from deploy.core.errors import DeployError
from deploy.tflite.schema import TensorType

MAX_ROWS = 65535  # what nb_ring can count


class DType(IntEnum):
    """Element types that the reader knows, numbered as in the TFLite schema."""

    FLOAT32 = TensorType.FLOAT32
    FLOAT16 = TensorType.FLOAT16
    INT32 = TensorType.INT32
    UINT8 = TensorType.UINT8
    INT64 = TensorType.INT64
    STRING = TensorType.STRING
    BOOL = TensorType.BOOL
    INT16 = TensorType.INT16
    INT8 = TensorType.INT8

    @property
    def numpy(self) -> str:
        """The numpy name of the type."""
        return self.name.lower()

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return np.dtype(self.numpy).itemsize


@dataclass(frozen=True)
class Quantization:
    """Affine quantization: real = scale * (q - zero_point), along ``axis`` if there are several.

    Scales are float32 values held in Python floats: the arithmetic that follows the interpreter's
    starts from the same bits.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int) -> "Quantization":
        """One scale, rounded to float32, and one zero point for all elements."""
        return cls((float(np.float32(scale)),), (int(zero_point),))


@dataclass(frozen=True)
class Tensor:
    """One tensor; ``data`` is None for activations."""

    index: int
    name: str
    dtype: DType
    shape: tuple[int, ...]
    quantization: Quantization | None
    data: np.ndarray | None

    @property
    def elements(self) -> int:
        """How many elements it has (exact, unbounded integer)."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        """How many bytes its elements take."""
        return self.elements * self.dtype.size

    @property
    def height(self) -> int:
        """Rows in which it can be computed: an image's height; anything else is one row."""
        shape = self.shape
        rows = 1
        if len(shape) == 4 and shape[0] == 1:
            rows = shape[1]
        elif len(shape) == 3:
            rows = shape[0]
        return rows if rows <= MAX_ROWS else 1

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"tensor {self.index} ({self.name!r})"


@dataclass(frozen=True)
class Operator:
    """One operator; ``attributes`` is the dataclass that the operator's file defines.

    ``inputs`` are tensor indices, -1 where an optional input is left out.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: Any


@dataclass(frozen=True)
class Graph:
    """A model with one subgraph, checked: every index and shape can be trusted.

    ``operators`` are in execution order; ``sha256`` is that of the flatbuffer, in hex.
    """

    name: str
    sha256: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def where(self, op: Operator, position: int | None = None) -> str:
        """How messages name an operator, with the tensor at ``position`` of its inputs if given."""
        text = f"{self.name}: operator {op.index} {op.kind}"
        if position is not None and position < len(op.inputs) and op.inputs[position] >= 0:
            text += f", input {self.tensors[op.inputs[position]].label}"
        return text

    def error(self, op: Operator, problem: str, position: int | None = None) -> DeployError:
        """The error to raise about an operator."""
        return DeployError(f"{self.where(op, position)}: {problem}")

    def input(self, op: Operator, position: int) -> Tensor:
        """The tensor at ``position`` of the operator's inputs; DeployError where it is missing."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise self.error(op, f"input {position} is missing; export the model again")
        return self.tensors[op.inputs[position]]

    def optional_input(self, op: Operator, position: int) -> Tensor | None:
        """Like :meth:`input`, None where it is missing."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            return None
        return self.tensors[op.inputs[position]]

    def output(self, op: Operator) -> Tensor:
        """The operator's first output."""
        return self.tensors[op.outputs[0]]
