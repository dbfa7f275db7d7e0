# SPDX-License-Identifier: Apache-2.0
"""The float graph between torch and the flatbuffer: few operators, NHWC shapes, batch 1.

An operator is one class in ``deploy/quantize/ops/``. It knows four things: how to compute itself in
float (for calibration), how to rewrite itself into what TensorFlow Lite can express, which of its
tensors must share one quantization, and how to write itself into the flatbuffer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from deploy.quantize.tensors import Activation, FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class FloatOp(ABC):
    """One operator: ``inputs`` → ``output``. ``layers`` are the torch layers merged into it."""

    inputs: list[FloatTensor]
    output: FloatTensor
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
    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Append constants and the operator to the flatbuffer."""

    def legalize(self) -> list[FloatOp]:
        """The same computation in operators that TFLite has; raises DeployError if there is none.

        Called once, before calibration. The last operator returned writes ``self.output``.
        """
        return [self]

    def ties(self) -> list[tuple[FloatTensor, FloatTensor]]:
        """Pairs of tensors that must have the same scale and zero point."""
        return []

    def fixed_output(self) -> Quantization | None:
        """The output quantization where TFLite prescribes one (softmax, logistic)."""
        return None


@dataclass(eq=False)
class FusedOp(FloatOp):
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
    vanishing = output.scales[0] < 6 / (1 << 30)
    if activation is Activation.RELU6 and vanishing:
        return int(Activation.RELU)
    return int(activation)


@dataclass
class FloatGraph:
    """Operators in execution order, one input, one or more outputs."""

    input: FloatTensor
    ops: list[FloatOp] = field(default_factory=list)
    outputs: list[FloatTensor] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def tensors(self) -> list[FloatTensor]:
        """Every activation, the input first, then in order of execution."""
        return [self.input, *(op.output for op in self.ops)]

    def tied(self, pairs: Iterable[tuple[FloatTensor, FloatTensor]]) -> list[list[FloatTensor]]:
        """All activations in groups: two are in one where a chain of pairs joins them.

        In order of first appearance, groups and what is in them.
        """
        leader = {tensor: tensor for tensor in self.tensors()}

        def find(tensor: FloatTensor) -> FloatTensor:
            while leader[tensor] is not tensor:
                tensor = leader[tensor]
            return tensor

        for first, second in pairs:
            leader[find(second)] = find(first)
        groups: dict[FloatTensor, list[FloatTensor]] = {}
        for tensor in self.tensors():
            groups.setdefault(find(tensor), []).append(tensor)
        return list(groups.values())

    def drop_unused(self) -> None:
        """Remove operators whose results nobody reads (pads and reshapes that were absorbed)."""
        needed = {id(tensor) for tensor in self.outputs}
        kept = []
        for op in reversed(self.ops):
            if id(op.output) in needed:
                kept.append(op)
                needed.update(id(tensor) for tensor in op.inputs)
        self.ops = kept[::-1]
