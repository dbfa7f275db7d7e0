# SPDX-License-Identifier: Apache-2.0
"""What ADD, SUB and MUL share: two operands, broadcast against each other, either one a constant.

Four kernels run them: a look-up where one operand is a single constant number; else a walk over
two tensors of one shape, over a tensor and a constant, or over two tensors of different shapes.
The arithmetic of one operator is a function that these walks call for runs of elements.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deploy.backends import Symbol
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator, Tensor
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import activation_range, check_activation, require_int8
from deploy.tflite.ops.lookup import lower_lookup
from deploy.tflite.parameters import (
    ElementwiseBroadcastParams,
    ElementwiseConstantParams,
    ElementwiseOp,
    ElementwiseParams,
)
from deploy.tflite.schema import AddOptions
from deploy.tflite.values import Constant

MAX_AXES = 6

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Elementwise:
    """Attributes of ADD, SUB and MUL."""

    activation: int


@dataclass(frozen=True)
class Arithmetic:
    """The constants of ``nb_elementwise`` and the function on stored values that they describe.

    Index 0 and 1 are the operands', 2 is the result's. ``shift`` is to the right; only [2] may be
    negative.
    """

    function: str
    multiplier: tuple[int, int, int]
    shift: tuple[int, int, int]
    of: Callable[[int, int], int]


def read_elementwise(options: Table | None) -> Elementwise:
    """Attributes from AddOptions, SubOptions or MulOptions."""
    return Elementwise(
        options.integer(AddOptions.FUSED_ACTIVATION_FUNCTION) if options is not None else 0
    )


def check_elementwise(graph: Graph, op: Operator) -> None:
    """Types, and shapes that can be broadcast."""
    operands = [graph.input(op, 0), graph.input(op, 1)]
    for tensor in operands:
        require_int8(graph, op, tensor, "input")
    require_int8(graph, op, graph.output(op), "output")
    check_activation(graph, op, op.attributes.activation)
    if all(tensor.data is not None for tensor in operands):
        raise graph.error(op, "both operands are constants; fold it before export")
    target = infer_elementwise(graph, op)
    for position in (0, 1):
        other = operands[1 - position]
        if other.data is not None and operands[position].elements != _count(target):
            raise graph.error(
                op, f"a constant {list(other.shape)} that makes its other operand larger is "
                "not supported; broadcast it before export", position,
            )  # fmt: skip


def infer_elementwise(graph: Graph, op: Operator) -> Shape:
    """The shape that both operands are broadcast to."""
    shapes = [graph.input(op, position).shape for position in (0, 1)]
    rank = max(len(shape) for shape in shapes)
    first, second = (_extend(shape, rank) for shape in shapes)
    if any(a != b and 1 not in (a, b) for a, b in zip(first, second, strict=True)):
        raise graph.error(op, f"shapes {list(shapes[0])} and {list(shapes[1])} do not fit together")
    return tuple(max(a, b) for a, b in zip(first, second, strict=True))


def lower_elementwise(graph: Graph, op: Operator, arithmetic: Arithmetic) -> Layer:
    """The kernel that suits the operands' shapes."""
    operands, target = [graph.input(op, 0), graph.input(op, 1)], graph.output(op)
    constant = next((i for i in (0, 1) if operands[i].data is not None), None)
    if constant is not None:
        return _with_constant(graph, op, arithmetic, operands, constant)
    inputs = (operands[0].index, operands[1].index)
    if operands[0].elements == operands[1].elements == target.elements:
        return Layer(
            op.index, op.kind, target.name, inputs, op.outputs,
            kernel="nb_elementwise_s8",
            params=ElementwiseParams(
                op=_elementwise(graph, op, arithmetic), row=target.elements // target.height
            ),
            in_place=(0, 1),
            rows=RowWindow(),
        )  # fmt: skip
    shape, steps = merge_axes(target.shape, [tensor.shape for tensor in operands])
    missing = MAX_AXES - len(shape)
    return Layer(
        op.index, op.kind, target.name, inputs, op.outputs,
        kernel="nb_elementwise_broadcast_s8",
        params=ElementwiseBroadcastParams(
            op=_elementwise(graph, op, arithmetic),
            shape=(1,) * missing + shape,
            step=tuple((0,) * missing + step for step in steps),
        ),
        in_place=tuple(i for i in (0, 1) if operands[i].elements == target.elements),
    )  # fmt: skip


def _with_constant(
    graph: Graph, op: Operator, arithmetic: Arithmetic, operands: list[Tensor], constant: int
) -> Layer:
    data, target = operands[constant].data, graph.output(op)
    assert data is not None
    if data.size == 1:
        value = int(data.reshape(-1)[0])

        def of(other: int) -> int:
            return arithmetic.of(*((value, other) if constant == 0 else (other, value)))

        return lower_lookup(graph, op, of, 1 - constant)
    # Of the constant only: the other operand has every element of the output.
    height = target.height
    row = _row_shape(target)
    padded = _extend(operands[constant].shape, len(target.shape))
    within, (step,) = merge_axes(row, [_row_shape_of(padded, target)])
    per_row = int(np.prod(_row_shape_of(padded, target)))
    missing = MAX_AXES - 1 - len(within)
    return Layer(
        op.index, op.kind, target.name, (operands[1 - constant].index,), op.outputs,
        kernel="nb_elementwise_constant_s8",
        params=ElementwiseConstantParams(
            op=_elementwise(graph, op, arithmetic),
            constant=Constant(np.ascontiguousarray(data).reshape(-1), "weights"),
            position=constant,
            row_step=per_row if data.size // per_row == height and height > 1 else 0,
            shape=(1,) * missing + within,
            step=(0,) * missing + step,
        ),
        in_place=(0,),
        rows=RowWindow(),
    )  # fmt: skip


def _elementwise(graph: Graph, op: Operator, arithmetic: Arithmetic) -> ElementwiseOp:
    out_q = require_int8(graph, op, graph.output(op), "output")
    zeros = [
        require_int8(graph, op, graph.input(op, i), "input").zero_points[0] for i in (0, 1)
    ]  # fmt: skip
    low, high = activation_range(op.attributes.activation, out_q)
    return ElementwiseOp(
        Symbol(arithmetic.function), arithmetic.multiplier, (*zeros, out_q.zero_points[0]),
        arithmetic.shift, low, high,
    )  # fmt: skip


def merge_axes(target: Shape, shapes: list[Shape]) -> tuple[Shape, list[Shape]]:
    """Axes that every operand walks through in one go become one.

    Args:
        target: the shape of the output.
        shapes: the operands', of at most as many axes; an axis is 1 where it is broadcast.

    Returns:
        (merged output shape, for each operand the elements from one index to the next along each
        merged axis, 0 where it is broadcast). At least one axis.
    """
    extended = [_extend(shape, len(target)) for shape in shapes]
    sizes: list[int] = []
    patterns: list[tuple[bool, ...]] = []
    for axis, size in enumerate(target):
        if size == 1:
            continue
        pattern = tuple(shape[axis] != 1 for shape in extended)
        if patterns and patterns[-1] == pattern:
            sizes[-1] *= size
        else:
            sizes.append(size)
            patterns.append(pattern)
    steps = []
    for operand in range(len(shapes)):
        step, found = 1, []
        for size, pattern in zip(reversed(sizes), reversed(patterns), strict=True):
            found.append(step if pattern[operand] else 0)
            step *= size if pattern[operand] else 1
        steps.append(tuple(reversed(found)) or (0,))
    return tuple(sizes) or (1,), steps


def _extend(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _count(shape: Shape) -> int:
    return int(np.prod(shape, dtype=object))


def _row_shape(target: Tensor) -> Shape:
    """The axes of one row of a tensor."""
    return _row_shape_of(target.shape, target)


def _row_shape_of(shape: Shape, target: Tensor) -> Shape:
    """Of an operand with as many axes as the target, those that lie in one row of the target."""
    if target.height == 1:
        return shape
    return shape[2:] if len(shape) == 4 else shape[1:]
