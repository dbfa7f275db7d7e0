# SPDX-License-Identifier: Apache-2.0
"""DEPTHWISE_CONV_2D with any channel multiplier."""

from dataclasses import dataclass

import numpy as np

from deploy.backends import (
    BACKENDS,
    PORTABLE,
    DepthwiseWindow,
    by_backend,
    most_scratch,
)
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator, Tensor
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import (
    check_activation,
    convolution_multipliers,
    require_constant,
    require_int8,
)
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.ops.product import in_one_rounding, product_requantization, scaled_sums_fit
from deploy.tflite.ops.window import (
    FoldedPad,
    Window,
    check_image,
    check_window,
    paddings_before,
    window_shape,
)
from deploy.tflite.parameters import DepthwiseConvMultiplierParams, DepthwiseConvParams, Function
from deploy.tflite.schema import BuiltinOptions, DepthwiseConv2DOptions
from deploy.tflite.values import Constant, Requantization

OPTIONS = BuiltinOptions.DepthwiseConv2DOptions
NEEDS_OPTIONS = True


@dataclass(frozen=True)
class DepthwiseConv2D:
    """Attributes of DEPTHWISE_CONV_2D; the multiplier follows from the shapes, as in TFLM."""

    padding: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    activation: int
    folded: FoldedPad | None = None


def read(options: Table | None) -> DepthwiseConv2D:
    """Attributes from DepthwiseConv2DOptions."""
    assert options is not None
    return DepthwiseConv2D(
        padding=options.integer(DepthwiseConv2DOptions.PADDING),
        stride_w=options.integer(DepthwiseConv2DOptions.STRIDE_W),
        stride_h=options.integer(DepthwiseConv2DOptions.STRIDE_H),
        activation=options.integer(DepthwiseConv2DOptions.FUSED_ACTIVATION_FUNCTION),
        dilation_w=options.integer(DepthwiseConv2DOptions.DILATION_W_FACTOR),
        dilation_h=options.integer(DepthwiseConv2DOptions.DILATION_H_FACTOR),
    )


def _windows(graph: Graph, op: Operator) -> tuple[Window, Window]:
    a: DepthwiseConv2D = op.attributes
    _, height, width, _ = graph.input(op, 1).shape
    return Window(height, a.stride_h, a.dilation_h), Window(width, a.stride_w, a.dilation_w)


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and geometry."""
    source, weights = graph.input(op, 0), graph.input(op, 1)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, graph.output(op), "output")
    check_image(graph, op, source, "input")
    require_constant(graph, op, weights, "weights")
    if len(weights.shape) != 4 or weights.shape[0] != 1:
        raise graph.error(
            op, f"weights {weights.label} are {list(weights.shape)}, not [1, h, w, c]"
        )
    check_activation(graph, op, op.attributes.activation)
    check_window(graph, op, op.attributes.padding, *_windows(graph, op))
    channels = weights.shape[3]
    if channels % source.shape[3]:
        raise graph.error(
            op, f"{channels} output channels are no multiple of {source.shape[3]} input channels"
        )
    read_bias(graph, op, channels)
    convolution_multipliers(graph, op, weights, channels, axis=3)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """NHWC output shape."""
    vertical, horizontal = _windows(graph, op)
    channels = graph.input(op, 1).shape[3]
    return window_shape(graph, op, op.attributes.padding, vertical, horizontal, channels)


def lower(graph: Graph, op: Operator) -> Layer:
    """Multiplier 1 goes channel by channel in place; others take the general kernel."""
    a: DepthwiseConv2D = op.attributes
    source, weights, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    values = require_constant(graph, op, weights, "weights").astype(np.int64)
    _, kernel_h, kernel_w, channels = weights.shape
    _, in_h, in_w, in_c = source.shape
    _, out_h, out_w, _ = target.shape
    vertical, horizontal = _windows(graph, op)
    pad_top, pad_left = paddings_before(source, a.padding, vertical, horizontal, a.folded)
    in_q = require_int8(graph, op, source, "input")
    # Channel-major, so that a channel's taps lie together.
    rows = values.reshape(-1, channels).T
    requant = product_requantization(graph, op, rows, axis=3)
    weights_of_all = Constant(np.ascontiguousarray(rows).astype(np.int8).reshape(-1), "weights")
    macs = out_h * out_w * channels * kernel_h * kernel_w
    if channels != in_c:
        return Layer(
            op.index, op.kind, target.name, (source.index,), op.outputs,
            kernel="nb_depthwise_conv_multiplier_s8",
            params=DepthwiseConvMultiplierParams(
                weights=weights_of_all,
                requantization=requant,
                in_h=in_h, in_w=in_w, in_c=in_c,
                out_h=out_h, out_w=out_w, pitch=channels,
                input_zero_point=in_q.zero_points[0],
                kernel_h=kernel_h, kernel_w=kernel_w,
                stride_h=a.stride_h, stride_w=a.stride_w,
                dilation_h=a.dilation_h, dilation_w=a.dilation_w,
                pad_top=pad_top,
                pad_left=pad_left,
                out_c=channels,
            ),
            macs=macs,
            rows=vertical.rows(pad_top),
        )  # fmt: skip
    requant, function = _inner_loop(weights, a, requant)
    rows_kept, row_stride = _plane(vertical, horizontal, source, target, pad_left)
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_depthwise_conv_s8",
        params=DepthwiseConvParams(
            weights=weights_of_all,
            requantization=requant,
            in_h=in_h, in_w=in_w, in_c=in_c,
            out_h=out_h, out_w=out_w, pitch=channels,
            input_zero_point=in_q.zero_points[0],
            kernel_h=kernel_h, kernel_w=kernel_w,
            stride_h=a.stride_h, stride_w=a.stride_w,
            dilation_h=a.dilation_h, dilation_w=a.dilation_w,
            pad_top=pad_top,
            pad_left=pad_left,
            rows=rows_kept,
            row_stride=row_stride,
            function=function,
        ),
        macs=macs,
        scratch_bytes=most_scratch(lambda b: b.depthwise_scratch(rows_kept, row_stride)),
        in_place=(0,) if _writes_behind(vertical, source, target, pad_top) else (),
        in_place_exactly=True,
        rows=vertical.rows(pad_top),
    )  # fmt: skip


def _plane(
    vertical: Window, horizontal: Window, source: Tensor, target: Tensor, pad_left: int
) -> tuple[int, int]:
    """(rows kept, int16 elements a row) of the window of padded input rows of one channel.

    Rows for four output rows, so that moving the rows that are needed again is rare; a row has room
    for what kernels that compute outputs in fours read past the last one: whole words.
    """
    _, out_h, out_w, _ = target.shape
    used_h = (out_h - 1) * vertical.stride + vertical.extent
    rows = min(used_h, vertical.extent + 3 * vertical.stride)
    outputs = -(-out_w // 4) * 4
    width = (outputs - 1) * horizontal.stride + horizontal.extent
    width = max(width, source.shape[2] + pad_left)
    return rows, -(-width // 2) * 2


def _inner_loop(
    weights: Tensor, a: DepthwiseConv2D, requant: Requantization
) -> tuple[Requantization, Function]:
    """The inner loop, and the requantization that it needs."""
    _, height, width, _ = weights.shape
    window = DepthwiseWindow((height, width), a.stride_w, (a.dilation_h, a.dilation_w))
    if not any(backend.has_depthwise(window) for backend in BACKENDS):
        return requant, PORTABLE.depthwise(window, single=False)
    once = in_one_rounding(requant)
    if not once.rounds_once and not scaled_sums_fit(requant):
        return requant, PORTABLE.depthwise(window, single=False)
    return once, by_backend(lambda b: b.depthwise(window, single=once.rounds_once))


def _writes_behind(vertical: Window, source: Tensor, target: Tensor, pad_top: int) -> bool:
    """Whether every output row lies over input pixels that the kernel has copied already."""
    _, in_h, in_w, _ = source.shape
    _, out_h, out_w, _ = target.shape
    for row in range(out_h):
        last = row * vertical.stride + vertical.extent - pad_top
        copied = min(in_h, max(last, 0)) * in_w
        if (row + 1) * out_w > copied:
            return False
    return True
