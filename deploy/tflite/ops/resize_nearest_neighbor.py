# SPDX-License-Identifier: Apache-2.0
"""RESIZE_NEAREST_NEIGHBOR."""

import numpy as np

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import round_away
from deploy.tflite.ops.resize import Resize, check_resize, infer_resize, output_size
from deploy.tflite.parameters import ResizeNearestParams
from deploy.tflite.schema import BuiltinOptions, ResizeNearestNeighborOptions
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.ResizeNearestNeighborOptions
NEEDS_OPTIONS = False

check = check_resize
infer = infer_resize


def read(options: Table | None) -> Resize:
    """Attributes from ResizeNearestNeighborOptions."""
    if options is None:
        return Resize(False, False)
    return Resize(
        options.truth(ResizeNearestNeighborOptions.ALIGN_CORNERS),
        options.truth(ResizeNearestNeighborOptions.HALF_PIXEL_CENTERS),
    )


def nearest(length: int, count: int, how: Resize) -> np.ndarray:
    """uint16 [count]: of ``length`` input pixels the one that each output pixel is.

    In float32, as the reference computes it.
    """
    one, half = np.float32(1), np.float32(0.5 if how.half_pixel_centers else 0)
    scale = np.float32(length) / np.float32(count)
    if how.align_corners and count > 1:
        scale = np.float32(length - 1) / np.float32(count - 1)
    found = []
    for place in range(count):
        exact = float((np.float32(place) * one + half) * scale)
        chosen = round_away(exact) if how.align_corners else int(np.floor(exact))
        found.append(max(0, min(chosen, length - 1)))
    return np.array(found, np.uint16)


def lower(graph: Graph, op: Operator) -> Layer:
    """Copies of pixels, by a table of rows and columns."""
    source, target = graph.input(op, 0), graph.output(op)
    _, in_h, in_w, channels = source.shape
    out_h, out_w = output_size(graph, op)
    places = np.concatenate(
        [nearest(in_h, out_h, op.attributes), nearest(in_w, out_w, op.attributes)]
    )
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_resize_nearest_s8",
        params=ResizeNearestParams(
            places=Constant(places, "tables"),
            in_w=in_w, channels=channels, out_h=out_h, out_w=out_w,
            pitch=channels,
        ),
    )  # fmt: skip
