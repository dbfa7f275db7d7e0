# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION over channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from ai_edge_litert import schema_py_generated as schema

from deploy.quantize.graph import FloatOp
from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Concatenation(FloatOp):
    """Feature maps or vectors, one behind the other in the channel dimension."""

    tflite_name = "CONCATENATION"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return torch.cat(inputs, dim=1)

    def ties(self) -> list[tuple[FloatTensor, FloatTensor]]:
        """TFLM copies codes, so all inputs share the output's quantization."""
        return [(tensor, self.output) for tensor in self.inputs]

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        options = schema.ConcatenationOptionsT()
        options.axis = len(self.output.shape) - 1
        operands = [writer.activation(tensor) for tensor in self.inputs]
        writer.operator("CONCATENATION", 2, options, operands, self.output)


@lowers(torch.cat, torch.concat)
def lower_cat(lowering: Lowering, call: Call) -> FloatTensor:
    """torch.cat over channels."""
    parts, dim = call.get(0, "tensors"), call.get(1, "dim", 0)
    if not all(isinstance(part, FloatTensor) for part in parts):
        raise call.error("only activations can be concatenated")
    rank = len(parts[0].shape)
    if dim % rank != 1 or any(part.shape[:-1] != parts[0].shape[:-1] for part in parts):
        raise call.error("only feature maps of one size, over channels (dim=1)")
    shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
    output = lowering.tensor(call.layer, shape)
    return lowering.add(Concatenation(list(parts), output, [call.layer]))
