# SPDX-License-Identifier: Apache-2.0
"""MEAN over height and width: global average pooling with an output scale of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.quantize.graph import FloatOp
from deploy.quantize.lowering import Call, Lowering, lowers, pair
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Mean(FloatOp):
    """[1, H, W, C] → [1, 1, 1, C] or [1, C]."""

    keep_dims: bool = field(default=True, kw_only=True)

    tflite_name = "MEAN"

    def drop_dimensions(self) -> None:
        """Answer [1, C]."""
        self.keep_dims = False
        self.output.shape = (1, self.output.shape[-1])

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return inputs[0].mean(dim=(2, 3), keepdim=self.keep_dims)

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        options = schema.ReducerOptionsT()
        options.keepDims = self.keep_dims
        axes = writer.constant("axes", np.array([1, 2], np.int32))
        operands = [writer.activation(self.inputs[0]), axes]
        writer.operator("MEAN", 2, options, operands, self.output)


def add_mean(lowering: Lowering, call: Call, keep_dims: bool = True) -> FloatTensor:
    """Append a global mean of the call's first argument."""
    source = call.image()
    output = lowering.tensor(call.layer, (1, 1, 1, source.shape[3]))
    op = Mean([source], output, [call.layer])
    if not keep_dims:
        op.drop_dimensions()
    return lowering.add(op)


@lowers(nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d)
def lower_adaptive_average(lowering: Lowering, call: Call) -> FloatTensor:
    """Adaptive average pooling to 1x1."""
    source = call.image()
    size: Any = call.get(1, "output_size")
    if size is not None and None not in (size if isinstance(size, tuple) else ()):
        if pair(size) == source.shape[1:3]:
            return source
        if pair(size) == (1, 1):
            return add_mean(lowering, call)
    raise call.error("only adaptive pooling to 1x1 is possible; use nn.AvgPool2d otherwise")


@lowers(torch.mean, "mean")
def lower_mean(lowering: Lowering, call: Call) -> FloatTensor:
    """Mean over height and width."""
    dims = call.get(1, "dim")
    if not isinstance(dims, tuple | list) or {int(d) % 4 for d in dims} != {2, 3}:
        raise call.error("only the mean over height and width, dim=(2, 3), is possible")
    return add_mean(lowering, call, keep_dims=bool(call.get(2, "keepdim", False)))
