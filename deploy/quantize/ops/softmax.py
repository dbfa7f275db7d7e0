# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX over classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.quantize.graph import FloatOp
from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Softmax(FloatOp):
    """[1, C] → [1, C]; TFLite prescribes its output quantization."""

    tflite_name = "SOFTMAX"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return F.softmax(inputs[0], dim=1)

    def fixed_output(self) -> Quantization:
        """[0, 1) in 256 steps."""
        return Quantization.per_tensor(1 / 256, -128)

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        writer.operator("SOFTMAX", 2, options, [writer.activation(self.inputs[0])], self.output)


@lowers(nn.Softmax, F.softmax, torch.softmax, "softmax")
def lower_softmax(lowering: Lowering, call: Call) -> FloatTensor:
    """Softmax over the classes of [N, C]."""
    source = call.tensor()
    if len(source.shape) != 2 or call.get(1, "dim") not in (1, -1):
        raise call.error("only softmax over the classes, dim=1 of [N, C], is possible")
    output = lowering.tensor(call.layer, source.shape)
    return lowering.add(Softmax([source], output, [call.layer]))
