# SPDX-License-Identifier: Apache-2.0
"""TRANSPOSE: the axes in another order."""

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import DType, Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_constant
from deploy.tflite.ops.gather import check_gather, lower_gather, strides_of
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.TransposeOptions
NEEDS_OPTIONS = False


def read(options: Table | None) -> None:
    """TransposeOptions has no fields."""


def _order(graph: Graph, op: Operator) -> list[int]:
    """For each output axis, the input's axis."""
    order = graph.input(op, 1)
    data = require_constant(graph, op, order, "permutation")
    rank = len(graph.input(op, 0).shape)
    found = [int(v) for v in data.reshape(-1)]
    if order.dtype is not DType.INT32 or sorted(found) != list(range(rank)):
        raise graph.error(op, f"permutation {found[:8]} is none of {rank} axes", 1)
    return found


def check(graph: Graph, op: Operator) -> None:
    """Types and the permutation."""
    check_gather(graph, op)
    _order(graph, op)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The input's sizes in the new order."""
    shape = graph.input(op, 0).shape
    return tuple(shape[axis] for axis in _order(graph, op))


def lower(graph: Graph, op: Operator) -> Layer:
    """A copy by steps; no code where only axes of size 1 move."""
    shape, order = graph.input(op, 0).shape, _order(graph, op)
    strides = strides_of(shape)
    return lower_gather(
        graph, op, 0, [shape[axis] for axis in order], [strides[axis] for axis in order]
    )
