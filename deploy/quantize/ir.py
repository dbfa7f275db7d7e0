"""The float graph between torch and the flatbuffer: few operators, NHWC shapes, batch 1.

An operator is one class in ``deploy/export/ops/``. It knows four things: how to compute itself in
float (for calibration), how to rewrite itself into what TensorFlow Lite can express, which of its
tensors must share one quantization, and how to write itself into the flatbuffer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

if TYPE_CHECKING:
    from deploy.quantize.writer import FlatbufferWriter


class Activation(IntEnum):
    """Activations that TFLite fuses into an operator; the values are the schema's codes."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Lower and upper clip, None where there is none."""
        return {
            Activation.NONE: (None, None),
            Activation.RELU: (0.0, None),
            Activation.RELU_N1_TO_1: (-1.0, 1.0),
            Activation.RELU6: (0.0, 6.0),
        }[self]

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """The activation in float; NaN stays NaN."""
        low, high = self.bounds
        return values if low is None else torch.clamp(values, min=low, max=high)


@dataclass(frozen=True)
class Quantization:
    """real = scale * (code - zero_point); one scale, or one for each index along ``axis``."""

    scale: np.ndarray  # float32 [1] or [channels]
    zero_point: int
    axis: int = 0

    @staticmethod
    def of(scale: float, zero_point: int) -> Quantization:
        """Per-tensor quantization."""
        return Quantization(np.array([scale], np.float32), int(zero_point))

    def same_as(self, other: Quantization) -> bool:
        """True if both map codes to the same reals."""
        return self.zero_point == other.zero_point and np.array_equal(self.scale, other.scale)


@dataclass(eq=False)
class Tensor:
    """An activation. ``shape`` is [1, H, W, C] or [1, C].

    ``readers`` counts the torch operators that read it; a producer may only absorb what follows
    (batch norm, activation) while there is exactly one.
    """

    name: str
    shape: tuple[int, ...]
    readers: int = 0

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape as torch has it: [1, C, H, W] or [1, C]."""
        if len(self.shape) != 4:
            return self.shape
        batch, height, width, channels = self.shape
        return batch, channels, height, width


@dataclass(eq=False)
class Op(ABC):
    """One operator: ``inputs`` → ``output``. ``layers`` are the torch layers merged into it."""

    inputs: list[Tensor]
    output: Tensor
    layers: list[str]

    tflite_name: ClassVar[str]

    @property
    def operator(self) -> str:
        """Name of the TFLite operator that this becomes."""
        return self.tflite_name

    @property
    def layer(self) -> str:
        """The torch layer that error messages name."""
        return self.layers[0]

    @abstractmethod
    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch; torch layout [N, C, H, W] or [N, C], float32."""

    @abstractmethod
    def emit(self, writer: FlatbufferWriter, quantization: Mapping[Tensor, Quantization]) -> None:
        """Append constants and the operator to the flatbuffer."""

    def legalize(self) -> list[Op]:
        """The same computation in operators that TFLite has; raises DeployError if there is none.

        Called once, before calibration. The last operator returned writes ``self.output``.
        """
        return [self]

    def ties(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs of tensors that must have the same scale and zero point."""
        return []

    def fixed_output(self) -> Quantization | None:
        """The output quantization where TFLite prescribes one (softmax, logistic)."""
        return None


@dataclass(eq=False)
class FusedOp(Op):
    """An operator with a fused activation."""

    activation: Activation = field(default=Activation.NONE, kw_only=True)

    def fused_code(self, output: Quantization) -> int:
        """The schema's code of the fused activation."""
        return fused_code(self.activation, output)


def fused_code(activation: Activation, output: Quantization) -> int:
    """The schema's code of an activation in front of ``output``.

    TFLM computes the code of the clip at 6 and refuses one beyond int32. Where the output's scale
    is that small, int8 saturates far below 6, so RELU computes the same.
    """
    vanishing = float(output.scale[0]) < 6 / (1 << 30)
    if activation is Activation.RELU6 and vanishing:
        return int(Activation.RELU)
    return int(activation)


@dataclass
class Graph:
    """Operators in execution order, one input, one or more outputs."""

    input: Tensor
    ops: list[Op] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def tensors(self) -> list[Tensor]:
        """Every activation, the input first, then in order of execution."""
        return [self.input, *(op.output for op in self.ops)]

    def drop_unused(self) -> None:
        """Remove operators whose results nobody reads (pads and reshapes that were absorbed)."""
        needed = {id(tensor) for tensor in self.outputs}
        kept = []
        for op in reversed(self.ops):
            if id(op.output) in needed:
                kept.append(op)
                needed.update(id(tensor) for tensor in op.inputs)
        self.ops = kept[::-1]
