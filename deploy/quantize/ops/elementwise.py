# SPDX-License-Identifier: Apache-2.0
"""ADD and MUL of two activations."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from ai_edge_litert import schema_py_generated as schema

from deploy.quantize.graph import FusedOp
from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Add(FusedOp):
    """Element by element; the inputs keep scales of their own."""

    tflite_name = "ADD"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return self.activation.apply(inputs[0] + inputs[1])

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        _emit(self, writer, quantization, schema.AddOptionsT())


@dataclass(eq=False)
class Mul(FusedOp):
    """Element by element; one side may be [1, 1, 1, C] (squeeze and excitation)."""

    tflite_name = "MUL"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return self.activation.apply(inputs[0] * inputs[1])

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        _emit(self, writer, quantization, schema.MulOptionsT())


def _emit(
    op: FusedOp,
    writer: FlatbufferWriter,
    quantization: Mapping[FloatTensor, Quantization],
    options: Any,
) -> None:
    options.fusedActivationFunction = op.fused_code(quantization[op.output])
    operands = [writer.activation(tensor) for tensor in op.inputs]
    writer.operator(op.tflite_name, 2, options, operands, op.output)


def _lower(lowering: Lowering, call: Call, kind: type[Add] | type[Mul]) -> FloatTensor:
    if call.kwargs.get("alpha", 1) != 1:
        raise call.error("a scaled addition (alpha) has no int8 operator")
    first, second = call.tensor(0), call.tensor(1, "other")
    if kind is Mul and len(first.shape) == len(second.shape) == 4 and first.shape[1:3] == (1, 1):
        first, second = second, first
    broadcast = kind is Mul and second.shape == (1, 1, 1, first.shape[-1])
    if first.shape != second.shape and not broadcast:
        raise call.error(f"shapes {first.torch_shape} and {second.torch_shape} differ")
    output = lowering.tensor(call.layer, first.shape)
    return lowering.add(kind([first, second], output, [call.layer]))


@lowers(operator.add, operator.iadd, torch.add, "add", "add_")
def lower_add(lowering: Lowering, call: Call) -> FloatTensor:
    """Sum of two activations of one shape."""
    return _lower(lowering, call, Add)


@lowers(operator.mul, operator.imul, torch.mul, "mul", "mul_")
def lower_mul(lowering: Lowering, call: Call) -> FloatTensor:
    """Product of two activations."""
    return _lower(lowering, call, Mul)
