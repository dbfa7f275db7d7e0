# SPDX-License-Identifier: Apache-2.0
"""PAD: explicit zeros around a feature map. Convolutions absorb it wherever TFLite allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
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
class Pad(FloatOp):
    """Zeros (top, bottom, left, right) around a feature map."""

    pads: tuple[int, int, int, int] = field(kw_only=True)

    tflite_name = "PAD"

    @staticmethod
    def before(source: FloatTensor, pads: tuple[int, int, int, int], layer: str) -> Pad:
        """A padding in front of ``layer``, with its output tensor."""
        _, height, width, channels = source.shape
        top, bottom, left, right = pads
        output = FloatTensor(
            f"{layer}/pad", (1, height + top + bottom, width + left + right, channels)
        )
        return Pad([source], output, [layer], pads=pads)

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        top, bottom, left, right = self.pads
        return F.pad(inputs[0], (left, right, top, bottom))

    def ties(self) -> list[tuple[FloatTensor, FloatTensor]]:
        """PAD copies codes."""
        return [(self.inputs[0], self.output)]

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator; it fills with the output's zero point, which is zero exactly."""
        top, bottom, left, right = self.pads
        table = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        operands = [writer.activation(self.inputs[0]), writer.constant("paddings", table)]
        writer.operator("PAD", 2, schema.PadOptionsT(), operands, self.output)


def _add_pad(lowering: Lowering, call: Call, pads: tuple[int, int, int, int]) -> FloatTensor:
    source = call.image()
    if min(pads) < 0:
        raise call.error("negative padding crops, which TFLite's PAD cannot do")
    inner = lowering.producer(source)
    if isinstance(inner, Pad):
        source = inner.inputs[0]
        pads = (
            pads[0] + inner.pads[0],
            pads[1] + inner.pads[1],
            pads[2] + inner.pads[2],
            pads[3] + inner.pads[3],
        )
    op = Pad.before(source, pads, call.layer)
    op.output = lowering.tensor(call.layer, op.output.shape)
    return lowering.add(op)


@lowers(nn.ZeroPad2d, nn.ConstantPad2d)
def lower_zero_pad(lowering: Lowering, call: Call) -> FloatTensor:
    """nn.ZeroPad2d; torch orders (left, right, top, bottom)."""
    if call.get(2, "value", 0.0) != 0:
        raise call.error("TFLite's PAD fills with zeros only")
    left, right, top, bottom = call.get(1, "padding")
    return _add_pad(lowering, call, (top, bottom, left, right))


@lowers(F.pad)
def lower_functional_pad(lowering: Lowering, call: Call) -> FloatTensor:
    """F.pad with zeros over height and width."""
    pad = [int(p) for p in call.get(1, "pad")]
    if call.get(2, "mode", "constant") != "constant" or (call.get(3, "value", 0.0) or 0.0) != 0:
        raise call.error("TFLite's PAD fills with zeros only")
    if any(pad[4:]) or len(pad) < 2:
        raise call.error("only height and width can be padded")
    left, right, top, bottom = (pad + [0, 0])[:4]
    return _add_pad(lowering, call, (top, bottom, left, right))
