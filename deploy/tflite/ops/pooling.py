# SPDX-License-Identifier: Apache-2.0
"""What AVERAGE_POOL_2D and MAX_POOL_2D share."""

from dataclasses import dataclass

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import activation_range, check_activation, require_int8
from deploy.tflite.ops.window import Window, check_image, check_window, window_shape
from deploy.tflite.parameters import PoolParams
from deploy.tflite.schema import Pool2DOptions


@dataclass(frozen=True)
class Pool2D:
    """Attributes of a pooling."""

    padding: int
    vertical: Window
    horizontal: Window
    activation: int


def read_pool(options: Table | None) -> Pool2D:
    """Attributes from Pool2DOptions."""
    assert options is not None
    return Pool2D(
        padding=options.integer(Pool2DOptions.PADDING),
        horizontal=Window(
            options.integer(Pool2DOptions.FILTER_WIDTH), options.integer(Pool2DOptions.STRIDE_W)
        ),
        vertical=Window(
            options.integer(Pool2DOptions.FILTER_HEIGHT), options.integer(Pool2DOptions.STRIDE_H)
        ),
        activation=options.integer(Pool2DOptions.FUSED_ACTIVATION_FUNCTION),
    )


def check_pool(graph: Graph, op: Operator) -> None:
    """Types, shapes and geometry."""
    a: Pool2D = op.attributes
    source = graph.input(op, 0)
    require_int8(graph, op, source, "input")
    require_int8(graph, op, graph.output(op), "output")
    check_image(graph, op, source, "input")
    check_activation(graph, op, a.activation)
    check_window(graph, op, a.padding, a.vertical, a.horizontal)


def infer_pool(graph: Graph, op: Operator) -> tuple[int, ...]:
    """NHWC output shape."""
    a: Pool2D = op.attributes
    channels = graph.input(op, 0).shape[3]
    return window_shape(graph, op, a.padding, a.vertical, a.horizontal, channels)


def lower_pool(graph: Graph, op: Operator, kernel: str) -> Layer:
    """The kernel call with ``nb_pool_params``."""
    a: Pool2D = op.attributes
    source, target = graph.input(op, 0), graph.output(op)
    low, high = activation_range(a.activation, require_int8(graph, op, target, "output"))
    _, in_h, in_w, channels = source.shape
    _, out_h, out_w, _ = target.shape
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel=kernel,
        params=PoolParams(
            in_h=in_h, in_w=in_w, channels=channels,
            out_h=out_h, out_w=out_w, pitch=channels,
            kernel_h=a.vertical.size, kernel_w=a.horizontal.size,
            stride_h=a.vertical.stride, stride_w=a.horizontal.stride,
            pad_top=a.vertical.before(in_h, a.padding),
            pad_left=a.horizontal.before(in_w, a.padding),
            minimum=low, maximum=high,
        ),
        rows=a.vertical.rows(a.vertical.before(in_h, a.padding)),
    )  # fmt: skip
