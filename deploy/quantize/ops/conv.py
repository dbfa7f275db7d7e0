# SPDX-License-Identifier: Apache-2.0
"""CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.quantize.geometry import VALID, PaddedWindow, PaddingFit, fit_padding
from deploy.quantize.graph import FloatOp, FusedOp
from deploy.quantize.lowering import Call, Lowering, constant, lowers, pair
from deploy.quantize.ops.pad import Pad
from deploy.quantize.tensors import FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Conv(FusedOp):
    """A convolution with its batch norm folded in; depthwise if ``groups`` = input channels > 1.

    ``weight`` is [O, I / groups, kh, kw] and ``bias`` [O], both float64, as torch orders them.
    ``pads`` are zeros (top, bottom, left, right).
    """

    weight: np.ndarray = field(kw_only=True)
    bias: np.ndarray = field(kw_only=True)
    stride: tuple[int, int] = field(default=(1, 1), kw_only=True)
    dilation: tuple[int, int] = field(default=(1, 1), kw_only=True)
    groups: int = field(default=1, kw_only=True)
    pads: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), kw_only=True)

    tflite_name = "CONV_2D"

    @property
    def depthwise(self) -> bool:
        """True if every input channel has its own kernels."""
        return self.groups == self.inputs[0].shape[3] > 1

    @property
    def operator(self) -> str:
        """CONV_2D or DEPTHWISE_CONV_2D."""
        return "DEPTHWISE_CONV_2D" if self.depthwise else self.tflite_name

    @property
    def windows(self) -> tuple[PaddedWindow, PaddedWindow]:
        """The window along height and width."""
        _, height, width, _ = self.inputs[0].shape
        top, bottom, left, right = self.pads
        kh, kw = self.weight.shape[2:]
        return (
            PaddedWindow(height, kh, self.stride[0], self.dilation[0], top, bottom),
            PaddedWindow(width, kw, self.stride[1], self.dilation[1], left, right),
        )

    def scale_output(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Fold ``y * scale + shift`` per channel into weight and bias."""
        self.weight = self.weight * scale[:, None, None, None]
        self.bias = self.bias * scale + shift

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch, [N, C, H, W]."""
        top, bottom, left, right = self.pads
        x, padding = inputs[0], (top, left)
        if (top, left) != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        weight = torch.from_numpy(self.weight.astype(np.float32))
        bias = torch.from_numpy(self.bias.astype(np.float32))
        y = F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return self.activation.apply(y)

    def legalize(self) -> list[FloatOp]:
        """Choose SAME or VALID, growing the kernel by zeros or putting a PAD in front if needed."""
        fit = self._fit()
        if fit is None:
            pad = Pad.before(self.inputs[0], self.pads, self.layers[0])
            self.inputs, self.pads = [pad.output], (0, 0, 0, 0)
            return [pad, self]
        if fit.grows:
            self.weight = np.pad(self.weight, ((0, 0), (0, 0), fit.rows, fit.columns))
            (top, bottom, left, right), (dh, dw) = self.pads, self.dilation
            self.pads = (
                top + fit.rows[0] * dh,
                bottom + fit.rows[1] * dh,
                left + fit.columns[0] * dw,
                right + fit.columns[1] * dw,
            )
        return [self]

    def _fit(self) -> PaddingFit | None:
        return fit_padding(*self.windows, growable=True)

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write weights per output channel, bias as int32, and the operator."""
        fit = self._fit()
        padding = VALID if fit is None else fit.padding
        order = (1, 2, 3, 0) if self.depthwise else (0, 2, 3, 1)
        operands = [
            writer.activation(self.inputs[0]),
            *writer.parameters(
                self.layer,
                self.weight,
                self.bias,
                self.inputs[0],
                arrange=lambda weight: weight.transpose(order),
                axis=3 if self.depthwise else 0,
            ),
        ]
        options: Any = schema.Conv2DOptionsT()
        if self.depthwise:
            options = schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = self.weight.shape[0] // self.groups
        options.padding = padding
        options.strideH, options.strideW = self.stride
        options.dilationHFactor, options.dilationWFactor = self.dilation
        options.fusedActivationFunction = self.fused_code(quantization[self.output])
        writer.operator(self.operator, 3, options, operands, self.output)


def add_conv(
    lowering: Lowering,
    call: Call,
    source: FloatTensor,
    weight: np.ndarray,
    bias: np.ndarray,
    **geometry: Any,
) -> FloatTensor:
    """Append a convolution; absorbs an explicit padding in front of it."""
    pads = geometry.pop("pads", (0, 0, 0, 0))
    pad = lowering.producer(source)
    if isinstance(pad, Pad):
        source, pads = pad.inputs[0], tuple(a + b for a, b in zip(pads, pad.pads, strict=True))
    groups = geometry.get("groups", 1)
    if source.shape[3] != weight.shape[1] * groups:
        raise call.error(
            f"it reads {weight.shape[1] * groups} channels, but gets {source.shape[3]}: "
            "calibrate with images of the channels and size that the net was built for"
        )
    op = Conv([source], source, [call.layer], weight=weight, bias=bias, pads=pads, **geometry)
    height, width = (window.outputs for window in op.windows)
    if height < 1 or width < 1:
        raise call.error(
            f"its window is larger than its {source.shape[1]}x{source.shape[2]} input: "
            "use larger images"
        )
    op.output = lowering.tensor(call.layer, (1, height, width, weight.shape[0]))
    return lowering.add(op)


@lowers(nn.Conv2d, F.conv2d)
def lower_conv(lowering: Lowering, call: Call) -> FloatTensor:
    """A convolution with zero padding."""
    if getattr(call.module, "padding_mode", "zeros") != "zeros":
        raise call.error("only zero padding exists in TFLite; set padding_mode='zeros'")
    source = call.image()
    torch_weight, torch_bias = call.get(1, "weight"), call.get(2, "bias")
    if not isinstance(torch_weight, torch.Tensor):
        raise call.error("its weight is computed at run time; make it a parameter")
    weight = constant(call, torch_weight, "weight")
    bias = np.zeros(len(weight)) if torch_bias is None else constant(call, torch_bias, "bias")
    stride, dilation = pair(call.get(3, "stride", 1)), pair(call.get(5, "dilation", 1))
    padding = call.get(4, "padding", 0)
    if padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        pads = (spans[0] // 2, spans[0] - spans[0] // 2, spans[1] // 2, spans[1] - spans[1] // 2)
    else:
        ph, pw = (0, 0) if padding == "valid" else pair(padding)
        pads = (ph, ph, pw, pw)
    groups = int(call.get(6, "groups", 1))
    return add_conv(
        lowering,
        call,
        source,
        weight,
        bias,
        stride=stride,
        dilation=dilation,
        groups=groups,
        pads=pads,
    )
