# SPDX-License-Identifier: Apache-2.0
"""MAX_POOL_2D and AVERAGE_POOL_2D. An average over the whole map becomes a MEAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize.geometry import VALID, PaddedWindow, fit_padding
from deploy.quantize.graph import FloatOp, FusedOp
from deploy.quantize.lowering import Call, Lowering, lowers, pair
from deploy.quantize.ops.activation import Clip
from deploy.quantize.ops.mean import add_mean
from deploy.quantize.ops.pad import Pad
from deploy.quantize.tensors import Activation, FloatTensor
from deploy.quantize.writer import FlatbufferWriter
from deploy.tflite import Quantization


@dataclass(eq=False)
class Pool(FloatOp):
    """A pooling window; ``padding`` is torch's, on both sides of height and width."""

    kernel: tuple[int, int] = field(kw_only=True)
    stride: tuple[int, int] = field(kw_only=True)
    padding: tuple[int, int] = field(default=(0, 0), kw_only=True)

    @property
    def windows(self) -> tuple[PaddedWindow, PaddedWindow]:
        """The window along height and width."""
        _, height, width, _ = self.inputs[0].shape
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
        return PaddedWindow(height, kh, sh, 1, ph, ph), PaddedWindow(width, kw, sw, 1, pw, pw)

    def ties(self) -> list[tuple[FloatTensor, FloatTensor]]:
        """Pooling works on codes."""
        return [(self.inputs[0], self.output)]

    def emit(
        self, writer: FlatbufferWriter, quantization: Mapping[FloatTensor, Quantization]
    ) -> None:
        """Write the operator."""
        fit = fit_padding(*self.windows, growable=False)
        options = schema.Pool2DOptionsT()
        options.padding = VALID if fit is None else fit.padding
        options.strideH, options.strideW = self.stride
        options.filterHeight, options.filterWidth = self.kernel
        operands = [writer.activation(self.inputs[0])]
        writer.operator(self.tflite_name, 2, options, operands, self.output)

    def _pad(self) -> list[FloatOp]:
        ph, pw = self.padding
        pad = Pad.before(self.inputs[0], (ph, ph, pw, pw), self.layer)
        self.inputs, self.padding = [pad.output], (0, 0)
        return [pad, self]


@dataclass(eq=False)
class MaxPool(Pool):
    """Maximum of each window; torch pads with -infinity, as TFLite's SAME does."""

    nonnegative: bool = field(default=False, kw_only=True)  # input comes from a ReLU

    tflite_name = "MAX_POOL_2D"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return F.max_pool2d(inputs[0], self.kernel, self.stride, self.padding)

    def legalize(self) -> list[FloatOp]:
        """Where SAME does not fit, zeros may be padded if no input is negative."""
        if fit_padding(*self.windows, growable=False) is not None:
            return [self]
        if self.nonnegative:
            return self._pad()
        raise DeployError(
            f"layer '{self.layer}' cannot be quantized: its padding is not what TFLite's SAME "
            "pads; put a ReLU in front of it, or pool without padding"
        )


@dataclass(eq=False)
class AveragePool(Pool):
    """Mean of each window; ``count_padding`` as torch's count_include_pad."""

    count_padding: bool = field(default=False, kw_only=True)

    tflite_name = "AVERAGE_POOL_2D"

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Float result for a batch."""
        return F.avg_pool2d(
            inputs[0],
            self.kernel,
            self.stride,
            self.padding,
            count_include_pad=self.count_padding,
        )

    def legalize(self) -> list[FloatOp]:
        """TFLite leaves padded pixels out of the mean; counting them takes a PAD."""
        if self.padding == (0, 0):
            return [self]
        if self.count_padding:
            return self._pad()
        if fit_padding(*self.windows, growable=False) is not None:
            return [self]
        raise DeployError(
            f"layer '{self.layer}' cannot be quantized: its padding is not what TFLite's SAME "
            "pads; set count_include_pad=True, or pool without padding"
        )


def _place(lowering: Lowering, call: Call, op: Pool) -> FloatTensor:
    height, width = (window.outputs for window in op.windows)
    if height < 1 or width < 1:
        raise call.error(f"its window is larger than its {op.inputs[0].shape[1:3]} input")
    if call.get(4 if isinstance(op, AveragePool) else 5, "ceil_mode", False):
        for window in op.windows:
            if (window.size + window.before + window.after - window.extent) % window.stride:
                raise call.error("ceil_mode adds a partial window, which TFLite does not have")
    op.output = lowering.tensor(call.layer, (1, height, width, op.inputs[0].shape[3]))
    return lowering.add(op)


@lowers(nn.MaxPool2d, F.max_pool2d, torch.max_pool2d)
def lower_max_pool(lowering: Lowering, call: Call) -> FloatTensor:
    """Max pooling without dilation."""
    source = call.image()
    kernel = pair(call.get(1, "kernel_size"))
    if pair(call.get(4, "dilation", 1)) != (1, 1):
        raise call.error("dilated pooling has no TFLite operator")
    op = MaxPool(
        [source],
        source,
        [call.layer],
        kernel=kernel,
        stride=pair(call.get(2, "stride") or kernel),
        padding=pair(call.get(3, "padding", 0)),
        nonnegative=_nonnegative(lowering, source),
    )
    return _place(lowering, call, op)


@lowers(nn.AvgPool2d, F.avg_pool2d)
def lower_average_pool(lowering: Lowering, call: Call) -> FloatTensor:
    """Average pooling."""
    source = call.image()
    kernel, padding = pair(call.get(1, "kernel_size")), pair(call.get(3, "padding", 0))
    if call.get(6, "divisor_override") is not None:
        raise call.error("divisor_override has no TFLite operator")
    if kernel == source.shape[1:3] and padding == (0, 0):
        return add_mean(lowering, call)
    op = AveragePool(
        [source],
        source,
        [call.layer],
        kernel=kernel,
        stride=pair(call.get(2, "stride") or kernel),
        padding=padding,
        count_padding=bool(call.get(5, "count_include_pad", True)),
    )
    return _place(lowering, call, op)


def _nonnegative(lowering: Lowering, tensor: FloatTensor) -> bool:
    producer = lowering.producer(tensor)
    return isinstance(producer, FusedOp | Clip) and producer.activation in (
        Activation.RELU,
        Activation.RELU6,
    )
