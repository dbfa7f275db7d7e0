# SPDX-License-Identifier: Apache-2.0
"""CONV_2D: convolution, any kernel, stride, dilation and number of groups."""

from dataclasses import dataclass

import numpy as np

from deploy.backends import NULL, Product, by_backend, most_scratch
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import (
    check_activation,
    convolution_multipliers,
    require_constant,
    require_int8,
)
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.ops.product import in_one_rounding, product_requantization
from deploy.tflite.ops.window import (
    FoldedPad,
    Window,
    check_image,
    check_window,
    paddings_before,
    window_shape,
)
from deploy.tflite.parameters import Conv1x1Params, ConvParams
from deploy.tflite.schema import BuiltinOptions, Conv2DOptions
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.Conv2DOptions
NEEDS_OPTIONS = True


@dataclass(frozen=True)
class Conv2D:
    """Attributes of CONV_2D."""

    padding: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    activation: int
    folded: FoldedPad | None = None


def read(options: Table | None) -> Conv2D:
    """Attributes from Conv2DOptions."""
    assert options is not None
    return Conv2D(
        padding=options.integer(Conv2DOptions.PADDING),
        stride_w=options.integer(Conv2DOptions.STRIDE_W),
        stride_h=options.integer(Conv2DOptions.STRIDE_H),
        activation=options.integer(Conv2DOptions.FUSED_ACTIVATION_FUNCTION),
        dilation_w=options.integer(Conv2DOptions.DILATION_W_FACTOR),
        dilation_h=options.integer(Conv2DOptions.DILATION_H_FACTOR),
    )


def _windows(graph: Graph, op: Operator) -> tuple[Window, Window]:
    a: Conv2D = op.attributes
    _, height, width, _ = graph.input(op, 1).shape
    return Window(height, a.stride_h, a.dilation_h), Window(width, a.stride_w, a.dilation_w)


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and geometry."""
    source, weights = graph.input(op, 0), graph.input(op, 1)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, graph.output(op), "output")
    check_image(graph, op, source, "input")
    require_constant(graph, op, weights, "weights")
    if len(weights.shape) != 4:
        raise graph.error(
            op, f"weights {weights.label} have {len(weights.shape)} dimensions, not 4"
        )
    check_activation(graph, op, op.attributes.activation)
    check_window(graph, op, op.attributes.padding, *_windows(graph, op))
    channels, _, _, depth = weights.shape
    groups = source.shape[3] // depth
    if source.shape[3] % depth or channels % groups:
        raise graph.error(
            op, f"weights {list(weights.shape)} do not fit {source.shape[3]} input channels"
        )
    read_bias(graph, op, channels)
    convolution_multipliers(graph, op, weights, channels, axis=0)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """NHWC output shape."""
    vertical, horizontal = _windows(graph, op)
    channels = graph.input(op, 1).shape[0]
    return window_shape(graph, op, op.attributes.padding, vertical, horizontal, channels)


def lower(graph: Graph, op: Operator) -> Layer:
    """1x1 convolutions become a matrix product over pixels; others gather patches first."""
    a: Conv2D = op.attributes
    source, weights, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    values = require_constant(graph, op, weights, "weights").astype(np.int64)
    channels, kernel_h, kernel_w, depth = weights.shape
    _, in_h, in_w, in_c = source.shape
    _, out_h, out_w, _ = target.shape
    vertical, horizontal = _windows(graph, op)
    pad_top, pad_left = paddings_before(source, a.padding, vertical, horizontal, a.folded)
    in_q = require_int8(graph, op, source, "input")
    rows = values.reshape(channels, -1)
    requant = product_requantization(graph, op, rows, axis=0)
    if depth == in_c:
        requant = in_one_rounding(requant)
    inner = kernel_h * kernel_w * depth
    padded = -(-inner // 4) * 4
    packed = np.zeros((channels, padded), np.int8)
    packed[:, :inner] = rows
    name = target.name
    kind = "" if requant.fast else "_any"
    macs = out_h * out_w * channels * inner
    alone = (kernel_h, kernel_w, a.stride_h, a.stride_w) == (1, 1, 1, 1) and a.folded is None
    whole = alone and depth == in_c >= 4
    product = Product(inner if whole else padded, requant.fast, requant.rounds_once)
    if whole:  # the matrix product reads words of a pixel's values
        return Layer(
            op.index, op.kind, name, (source.index,), op.outputs,
            kernel=f"nb_conv_1x1{kind}_s8",
            params=Conv1x1Params(
                weights=Constant(packed.reshape(-1), "weights"),
                requantization=requant,
                gemm=by_backend(lambda b: b.product(product)),
                width=in_w,
                in_c=in_c,
                out_c=channels,
                pitch=channels,
            ),
            macs=macs,
            scratch_bytes=most_scratch(
                lambda b: b.product_scratch(inner, pixels=4, gathered=False)
            ),
            rows=RowWindow(),
        )  # fmt: skip
    grouped = depth != in_c
    return Layer(
        op.index, op.kind, name, (source.index,), op.outputs,
        kernel="nb_conv_grouped_s8" if grouped else f"nb_conv{kind}_s8",
        params=ConvParams(
            weights=Constant(packed.reshape(-1), "weights"),
            requantization=requant,
            gemm=NULL if grouped else by_backend(lambda b: b.product(product)),
            in_h=in_h, in_w=in_w, in_c=in_c,
            out_h=out_h, out_w=out_w, out_c=channels, pitch=channels,
            group_c=depth,
            input_zero_point=in_q.zero_points[0],
            kernel_h=kernel_h, kernel_w=kernel_w,
            stride_h=a.stride_h, stride_w=a.stride_w,
            dilation_h=a.dilation_h, dilation_w=a.dilation_w,
            pad_top=pad_top,
            pad_left=pad_left,
        ),
        macs=macs,
        scratch_bytes=0 if grouped else most_scratch(
            lambda b: b.product_scratch(padded, pixels=4, gathered=True)
        ),
        rows=vertical.rows(pad_top),
    )  # fmt: skip
