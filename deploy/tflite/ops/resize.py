# SPDX-License-Identifier: Apache-2.0
"""What RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR share."""

from dataclasses import dataclass

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.numerics import require_constant, require_int8
from deploy.tflite.ops.lookup import refuse_constant
from deploy.tflite.ops.window import MAX_DIMENSION, check_image


@dataclass(frozen=True)
class Resize:
    """How output pixels lie over the input's: corners on corners, or centres half a pixel in."""

    align_corners: bool
    half_pixel_centers: bool


def check_resize(graph: Graph, op: Operator) -> None:
    """Types, one image that keeps its quantization, and a constant size."""
    source = graph.input(op, 0)
    in_q = require_int8(graph, op, source, "input")
    out_q = require_int8(graph, op, graph.output(op), "output")
    refuse_constant(graph, op, 0)
    check_image(graph, op, source, "input")
    if (in_q.scales, in_q.zero_points) != (out_q.scales, out_q.zero_points):
        raise graph.error(op, "its input and output have different quantization", 0)
    size = graph.input(op, 1)
    data = require_constant(graph, op, size, "size")
    if size.dtype is not DType.INT32 or data.shape != (2,):
        raise graph.error(op, "its size must be two int32 numbers, height and width", 1)
    if data.min() < 1 or data.max() > MAX_DIMENSION:
        raise graph.error(op, f"size {data.tolist()} is outside 1..{MAX_DIMENSION}", 1)
    if op.attributes.align_corners and op.attributes.half_pixel_centers:
        raise graph.error(op, "align_corners and half_pixel_centers exclude each other")


def infer_resize(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The input's shape with the new height and width."""
    height, width = output_size(graph, op)
    return (1, height, width, graph.input(op, 0).shape[3])


def output_size(graph: Graph, op: Operator) -> tuple[int, int]:
    """(height, width) that the constant asks for."""
    data = require_constant(graph, op, graph.input(op, 1), "size")
    height, width = (int(v) for v in np.asarray(data))
    return height, width
