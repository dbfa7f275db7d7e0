# SPDX-License-Identifier: Apache-2.0
"""Activations: clips are fused into the operator in front, the others are operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.quantize.graph import FloatOp, fused_code
from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.tensors import Activation, FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Clip(FloatOp):
    """RELU or RELU6 that could not be fused: its input is read by others too, or comes from an
    operator without fused activation."""

    activation: Activation = field(kw_only=True)

    tflite_name = "RELU"

    @property
    def operator(self) -> str:
        """RELU or RELU6."""
        return self.activation.name

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return self.activation.apply(inputs[0])

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        operands = [writer.activation(self.inputs[0])]
        activation = Activation(fused_code(self.activation, quantization[self.output]))
        writer.operator(activation.name, 2, None, operands, self.output)


@dataclass(eq=False)
class HardSwish(FloatOp):
    """x * relu6(x + 3) / 6."""

    tflite_name = "HARD_SWISH"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return F.hardswish(inputs[0])

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        operands = [writer.activation(self.inputs[0])]
        writer.operator("HARD_SWISH", 1, schema.HardSwishOptionsT(), operands, self.output)


@dataclass(eq=False)
class Logistic(FloatOp):
    """The sigmoid; TFLite prescribes its output quantization."""

    tflite_name = "LOGISTIC"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return torch.sigmoid(inputs[0])

    def fixed_output(self) -> Quantization:
        """[0, 1) in 256 steps."""
        return Quantization.per_tensor(1 / 256, -128)

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        operands = [writer.activation(self.inputs[0])]
        writer.operator("LOGISTIC", 2, None, operands, self.output)


def _clip(lowering: Lowering, call: Call, activation: Activation) -> FloatTensor:
    source = call.tensor()
    producer = lowering.unfused_producer(source)
    if producer is not None:
        producer.activation = activation
        producer.layers.append(call.layer)
        return source
    if activation is Activation.RELU_N1_TO_1:
        raise call.error("a clip to [-1, 1] must directly follow the layer that computes its input")
    output = lowering.tensor(call.layer, source.shape)
    return lowering.add(Clip([source], output, [call.layer], activation=activation))


@lowers(nn.ReLU, F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")
def lower_relu(lowering: Lowering, call: Call) -> FloatTensor:
    """max(x, 0)."""
    return _clip(lowering, call, Activation.RELU)


@lowers(nn.ReLU6, F.relu6)
def lower_relu6(lowering: Lowering, call: Call) -> FloatTensor:
    """min(max(x, 0), 6)."""
    return _clip(lowering, call, Activation.RELU6)


def _clip_between(lowering: Lowering, call: Call, low: Any, high: Any) -> FloatTensor:
    for activation in (Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1):
        if activation.bounds == (low, high):
            return _clip(lowering, call, activation)
    raise call.error(f"TFLite clips to [0, inf), [0, 6] or [-1, 1], not to [{low}, {high}]")


@lowers(nn.Hardtanh, F.hardtanh)
def lower_hardtanh(lowering: Lowering, call: Call) -> FloatTensor:
    """Hardtanh, as far as TFLite has that clip."""
    low, high = call.get(1, "min_val", -1.0), call.get(2, "max_val", 1.0)
    return _clip_between(lowering, call, low, high)


@lowers(torch.clamp, torch.clip, "clamp", "clamp_", "clip")
def lower_clamp(lowering: Lowering, call: Call) -> FloatTensor:
    """clamp(x, min, max), as far as TFLite has that clip."""
    return _clip_between(lowering, call, call.get(1, "min"), call.get(2, "max"))


@lowers(nn.Hardswish, F.hardswish)
def lower_hardswish(lowering: Lowering, call: Call) -> FloatTensor:
    """Hard swish."""
    source = call.tensor()
    output = lowering.tensor(call.layer, source.shape)
    return lowering.add(HardSwish([source], output, [call.layer]))


@lowers(nn.Sigmoid, torch.sigmoid, F.sigmoid, "sigmoid")
def lower_sigmoid(lowering: Lowering, call: Call) -> FloatTensor:
    """Sigmoid."""
    source = call.tensor()
    output = lowering.tensor(call.layer, source.shape)
    return lowering.add(Logistic([source], output, [call.layer]))
