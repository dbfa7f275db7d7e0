# SPDX-License-Identifier: Apache-2.0
"""PAD with the zero point, along any of up to 4 axes."""

import numpy as np

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import require_constant, require_int8
from deploy.tflite.ops.window import MAX_DIMENSION
from deploy.tflite.parameters import PadParams
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.PadOptions
NEEDS_OPTIONS = False


def read(options: Table | None) -> None:
    """PadOptions has no fields."""


def paddings(graph: Graph, op: Operator) -> np.ndarray:
    """int64 [rank, 2]: elements before and after along each axis."""
    return require_constant(graph, op, graph.input(op, 1), "paddings").astype(np.int64)


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and that nothing is cut off."""
    source, target = graph.input(op, 0), graph.output(op)
    in_q = require_int8(graph, op, source, "input")
    out_q = require_int8(graph, op, target, "output")
    if in_q.zero_points != out_q.zero_points or in_q.scales != out_q.scales:
        raise graph.error(op, "its input and output have different quantization", 0)
    amounts = graph.input(op, 1)
    data = paddings(graph, op)
    if amounts.dtype not in (DType.INT32, DType.INT64) or data.shape != (len(source.shape), 2):
        raise graph.error(op, "paddings must be integers [rank, 2]", 1)
    if len(source.shape) > 4 or max(source.shape + target.shape) > MAX_DIMENSION:
        raise graph.error(op, f"shape {list(source.shape)} is too large", 0)
    if len(target.shape) != len(source.shape):
        raise graph.error(op, f"its output has {len(target.shape)} dimensions", 0)
    if len(source.shape) == 4 and target.shape[0] != 1:
        raise graph.error(op, f"its output has batch {target.shape[0]}; only batch 1 is supported")
    if data.min() < 0 or data.max() > MAX_DIMENSION:
        raise graph.error(op, f"paddings {data.tolist()} are out of range", 1)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The input's shape and the paddings."""
    data = paddings(graph, op)
    return tuple(
        size + int(b) + int(a) for size, (b, a) in zip(graph.input(op, 0).shape, data, strict=True)
    )


def lower(graph: Graph, op: Operator) -> Layer:
    """A copy of rows between fills."""
    source, target = graph.input(op, 0), graph.output(op)
    # Rows, columns and channels; what is missing in front is 1.
    before = _last_three((0, 0, 0, *(int(b) for b, _ in paddings(graph, op))))
    in_shape, out_shape = (_last_three((1, 1, 1, *t.shape)) for t in (source, target))
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_pad_s8",
        params=PadParams(
            in_shape=in_shape,
            out_shape=out_shape,
            before=before,
            value=require_int8(graph, op, target, "output").zero_points[0],
        ),
        rows=RowWindow(before=before[0]),
    )  # fmt: skip


def _last_three(values: tuple[int, ...]) -> tuple[int, ...]:
    return values[-3:]
