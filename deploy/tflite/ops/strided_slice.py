# SPDX-License-Identifier: Apache-2.0
"""STRIDED_SLICE with constant bounds."""

from dataclasses import dataclass

import numpy as np

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_constant
from deploy.tflite.ops.gather import check_gather, lower_gather, strides_of
from deploy.tflite.schema import BuiltinOptions, StridedSliceOptions

OPTIONS = BuiltinOptions.StridedSliceOptions
NEEDS_OPTIONS = True
MAX_RANK = 4  # of the reference


@dataclass(frozen=True)
class StridedSlice:
    """Attributes of STRIDED_SLICE; bit i of a mask is for axis i.

    ``begin_mask`` and ``end_mask``: the bound is ignored; ``shrink_mask``: one index, and the axis
    disappears.
    """

    begin_mask: int
    end_mask: int
    ellipsis_mask: int
    new_axis_mask: int
    shrink_mask: int
    offset: bool


@dataclass(frozen=True)
class AxisSlice:
    """The indices ``start``, ``start + step``, ... along one axis, ``count`` of them."""

    start: int
    step: int
    count: int


def read(options: Table | None) -> StridedSlice:
    """Attributes from StridedSliceOptions."""
    assert options is not None
    return StridedSlice(
        begin_mask=options.integer(StridedSliceOptions.BEGIN_MASK),
        end_mask=options.integer(StridedSliceOptions.END_MASK),
        ellipsis_mask=options.integer(StridedSliceOptions.ELLIPSIS_MASK),
        new_axis_mask=options.integer(StridedSliceOptions.NEW_AXIS_MASK),
        shrink_mask=options.integer(StridedSliceOptions.SHRINK_AXIS_MASK),
        offset=options.truth(StridedSliceOptions.OFFSET),
    )


def _bounds(graph: Graph, op: Operator, position: int, what: str) -> np.ndarray:
    tensor = graph.input(op, position)
    data = require_constant(graph, op, tensor, what)
    rank = len(graph.input(op, 0).shape)
    if tensor.dtype is not DType.INT32 or data.shape != (rank,):
        raise graph.error(op, f"{what} must be int32 [{rank}], one for each axis", position)
    return data.astype(np.int64)


def ranges(graph: Graph, op: Operator) -> list[AxisSlice]:
    """What is taken along each axis of the input."""
    a: StridedSlice = op.attributes
    begins, ends = _bounds(graph, op, 1, "begin"), _bounds(graph, op, 2, "end")
    strides = _bounds(graph, op, 3, "strides")
    found = []
    for axis, size in enumerate(graph.input(op, 0).shape):
        step, bit = int(strides[axis]), 1 << axis
        if step == 0:
            raise graph.error(op, f"its stride along axis {axis} is 0", 3)
        # Going down, the place before the first element counts as an end.
        low, high = (0, size) if step > 0 else (-1, size - 1)

        def place(bound: int, low: int = low, high: int = high, size: int = size) -> int:
            return max(low, min(high, bound + size if bound < 0 else bound))

        start, stop = place(int(begins[axis])), place(int(ends[axis]))
        if a.begin_mask & bit:
            start = low if step > 0 else high
        if a.end_mask & bit:
            stop = high if step > 0 else low
        if a.shrink_mask & bit:
            stop = start + 1
            if step < 0:
                raise graph.error(op, f"it takes one index of axis {axis} with a negative stride")
        count = -((start - stop) // step) if step > 0 else -((stop - start) // -step)
        if count < 1 or not 0 <= start < size:
            raise graph.error(op, f"nothing is left of axis {axis} (size {size})", 0)
        found.append(AxisSlice(start, step, count))
    return found


def check(graph: Graph, op: Operator) -> None:
    """Types, and the forms that the reference has."""
    check_gather(graph, op)
    a: StridedSlice = op.attributes
    if a.ellipsis_mask or a.new_axis_mask or a.offset:
        raise graph.error(op, "ellipsis, new axes and offsets are not supported; export it plain")
    if len(graph.input(op, 0).shape) > MAX_RANK:
        raise graph.error(op, f"more than {MAX_RANK} dimensions are not supported", 0)
    ranges(graph, op)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The counts, without the axes of which one index is taken."""
    mask = op.attributes.shrink_mask
    return tuple(r.count for axis, r in enumerate(ranges(graph, op)) if not mask >> axis & 1)


def lower(graph: Graph, op: Operator) -> Layer:
    """A copy by steps."""
    found, strides = ranges(graph, op), strides_of(graph.input(op, 0).shape)
    start = sum(r.start * stride for r, stride in zip(found, strides, strict=True))
    steps = [r.step * stride for r, stride in zip(found, strides, strict=True)]
    return lower_gather(graph, op, start, [r.count for r in found], steps)
