# SPDX-License-Identifier: Apache-2.0
"""RESIZE_BILINEAR, in the reference's integers: places in 1024ths of a pixel."""

import numpy as np

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.ops.resize import Resize, check_resize, infer_resize, output_size
from deploy.tflite.parameters import ResizeBilinearParams
from deploy.tflite.schema import BuiltinOptions, ResizeBilinearOptions
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.ResizeBilinearOptions
NEEDS_OPTIONS = False
ONE = 1024

infer = infer_resize


def read(options: Table | None) -> Resize:
    """Attributes from ResizeBilinearOptions."""
    if options is None:
        return Resize(False, False)
    return Resize(
        options.truth(ResizeBilinearOptions.ALIGN_CORNERS),
        options.truth(ResizeBilinearOptions.HALF_PIXEL_CENTERS),
    )


def between(length: int, count: int, how: Resize) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``count`` output pixels: the input pixel before, the one behind, 1024ths between.

    Rounding the step to 1024ths may lead behind the last pixel; the reference then reads outside
    of its input, and ``lower`` here is ``length`` or more.
    """
    scale = (ONE * length + count // 2) // count
    if how.align_corners and count > 1:
        scale = (ONE * (length - 1) + (count - 1) // 2) // (count - 1)
    place = np.arange(count, dtype=np.int64) * scale
    if how.half_pixel_centers:
        place += scale // 2 - ONE // 2
    lower = np.maximum(place // ONE, 0)
    # Division in C rounds towards zero; for the places in front of 0 that makes no difference.
    upper = np.maximum(np.minimum((place + ONE - 1) // ONE, length - 1), 0)
    return lower, upper, place - ONE * lower


def check(graph: Graph, op: Operator) -> None:
    """Types and sizes."""
    check_resize(graph, op)
    _, in_h, in_w, _ = graph.input(op, 0).shape
    for length, count in zip((in_h, in_w), output_size(graph, op), strict=True):
        lower, _, _ = between(length, count, op.attributes)
        if int(lower.max()) >= length:
            raise graph.error(
                op, f"from {length} to {count} pixels the reference reads outside of its input; "
                "take another size", 0,
            )  # fmt: skip


def lower(graph: Graph, op: Operator) -> Layer:
    """Means of four pixels, with tables of places."""
    source, target = graph.input(op, 0), graph.output(op)
    _, in_h, in_w, channels = source.shape
    out_h, out_w = output_size(graph, op)
    rows, columns = between(in_h, out_h, op.attributes), between(in_w, out_w, op.attributes)
    lower, upper, fraction = (np.concatenate(pair) for pair in zip(rows, columns, strict=True))
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_resize_bilinear_s8",
        params=ResizeBilinearParams(
            lower=Constant(lower.astype(np.uint16), "tables"),
            upper=Constant(upper.astype(np.uint16), "tables"),
            fraction=Constant(fraction.astype(np.int16), "tables"),
            in_w=in_w, channels=channels, out_h=out_h, out_w=out_w,
            pitch=channels,
        ),
    )  # fmt: skip
