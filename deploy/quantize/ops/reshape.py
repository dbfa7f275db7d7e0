# SPDX-License-Identifier: Apache-2.0
"""Flatten. Normally absorbed: by the mean in front of it or by the linear layer behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize.graph import FloatOp
from deploy.quantize.lowering import Call, Lowering, lowers
from deploy.quantize.ops.mean import Mean
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Flatten(FloatOp):
    """[1, H, W, C] → [1, C·H·W] in torch's order."""

    tflite_name = "RESHAPE"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return inputs[0].flatten(1)

    def legalize(self) -> list[FloatOp]:
        """A RESHAPE keeps NHWC order, so only a 1x1 map can be flattened by one."""
        _, height, width, _ = self.inputs[0].shape
        if height * width > 1:
            raise DeployError(
                f"layer '{self.layer}' cannot be quantized: a {height}x{width} map can be "
                "flattened only right in front of nn.Linear; pool it globally first"
            )
        return [self]

    def ties(self) -> list[tuple[FloatTensor, FloatTensor]]:
        """RESHAPE copies codes."""
        return [(self.inputs[0], self.output)]

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        shape = np.array(self.output.shape, np.int32)
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        operands = [writer.activation(self.inputs[0]), writer.constant("shape", shape)]
        writer.operator("RESHAPE", 1, options, operands, self.output)


def _flatten(lowering: Lowering, call: Call, source: FloatTensor) -> FloatTensor:
    if len(source.shape) == 2:
        return source
    mean = lowering.exclusive_producer(source)
    if isinstance(mean, Mean):
        mean.drop_dimensions()
        mean.layers.append(call.layer)
        return source
    output = lowering.tensor(call.layer, (1, int(np.prod(source.shape))))
    return lowering.add(Flatten([source], output, [call.layer]))


@lowers(nn.Flatten, torch.flatten, "flatten")
def lower_flatten(lowering: Lowering, call: Call) -> FloatTensor:
    """Flatten everything but the batch."""
    source = call.tensor()
    default = 1 if call.module is not None else 0
    if call.get(1, "start_dim", default) != 1 or call.get(2, "end_dim", -1) not in (-1, 3):
        raise call.error("only flattening all but the batch, flatten(x, 1), is possible")
    return _flatten(lowering, call, source)


@lowers(torch.reshape, "view", "reshape")
def lower_view(lowering: Lowering, call: Call) -> FloatTensor:
    """view or reshape, as far as they flatten everything but the batch."""
    source = call.tensor()
    target = call.args[1:]
    if len(target) == 1 and isinstance(target[0], tuple | list | torch.Size):
        target = tuple(target[0])
    target = target or tuple(call.kwargs.get("shape", ()))
    features = int(np.prod(source.shape))
    if tuple(target) not in ((1, -1), (1, features), (-1, features)):
        raise call.error(
            f"only flattening all but the batch is possible, not {source.torch_shape} → {target}"
        )
    return _flatten(lowering, call, source)


@lowers(torch.squeeze, "squeeze")
def lower_squeeze(lowering: Lowering, call: Call) -> FloatTensor:
    """squeeze over height and width of a 1x1 map that has just been pooled."""
    source = call.image()
    dims = call.get(1, "dim")
    dims = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if {d % 4 for d in dims} != {2, 3} or source.shape[1:3] != (1, 1):
        raise call.error("use flatten(x, 1) instead")
    return _flatten(lowering, call, source)
