# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.quantize.graph import FusedOp
from deploy.quantize.lowering import Call, Lowering, constant, lowers
from deploy.quantize.ops.reshape import Flatten
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class FullyConnected(FusedOp):
    """``weight`` [out, in] (torch order: channels, height, width) and ``bias`` [out], float64."""

    weight: np.ndarray = field(kw_only=True)
    bias: np.ndarray = field(kw_only=True)

    tflite_name = "FULLY_CONNECTED"

    def scale_output(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Fold ``y * scale + shift`` per output into weight and bias."""
        self.weight = self.weight * scale[:, None]
        self.bias = self.bias * scale + shift

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch, [N, out]."""
        weight = torch.from_numpy(self.weight.astype(np.float32))
        bias = torch.from_numpy(self.bias.astype(np.float32))
        return self.activation.apply(F.linear(inputs[0].flatten(1), weight, bias))

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write weights per tensor (all that TFLM's FULLY_CONNECTED reads) and the operator."""
        operands = [
            writer.activation(self.inputs[0]),
            *writer.parameters(
                self.layer,
                self.weight,
                self.bias,
                self.inputs[0],
                arrange=self._arrange,
                axis=None,
            ),
        ]
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = self.fused_code(quantization[self.output])
        writer.operator("FULLY_CONNECTED", 4, options, operands, self.output)

    def _arrange(self, weight: np.ndarray) -> np.ndarray:
        """Torch flattens channels first, TFLite last."""
        shape = self.inputs[0].shape
        if len(shape) != 4:
            return weight
        _, height, width, channels = shape
        weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return weight.reshape(len(weight), -1)


@lowers(nn.Linear, F.linear)
def lower_linear(lowering: Lowering, call: Call) -> FloatTensor:
    """A linear layer; absorbs a flatten in front of it."""
    source = call.tensor()
    flatten = lowering.producer(source)
    if isinstance(flatten, Flatten):
        source = flatten.inputs[0]
    elif len(source.shape) != 2:
        raise call.error(f"it reads a tensor of shape {source.torch_shape}; flatten it first")
    torch_weight, torch_bias = call.get(1, "weight"), call.get(2, "bias")
    if not isinstance(torch_weight, torch.Tensor):
        raise call.error("its weight is computed at run time; make it a parameter")
    weight = constant(call, torch_weight, "weight")
    bias = np.zeros(len(weight)) if torch_bias is None else constant(call, torch_bias, "bias")
    features = int(np.prod(source.shape))
    if features != weight.shape[1]:
        raise call.error(
            f"it reads {weight.shape[1]} features, but gets {features}: "
            "calibrate with images of the size that the net was built for"
        )
    output = lowering.tensor(call.layer, (1, len(weight)))
    return lowering.add(FullyConnected([source], output, [call.layer], weight=weight, bias=bias))
