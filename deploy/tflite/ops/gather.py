# SPDX-License-Identifier: Apache-2.0
"""What TRANSPOSE and STRIDED_SLICE share: the output is some of the input's elements, by steps."""

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_int8
from deploy.tflite.ops.lookup import refuse_constant
from deploy.tflite.parameters import GatherParams

MAX_AXES = 6


def check_gather(graph: Graph, op: Operator) -> None:
    """One computed int8 tensor that keeps its quantization."""
    in_q = require_int8(graph, op, graph.input(op, 0), "input")
    out_q = require_int8(graph, op, graph.output(op), "output")
    refuse_constant(graph, op, 0)
    if (in_q.scales, in_q.zero_points) != (out_q.scales, out_q.zero_points):
        raise graph.error(op, "its input and output have different quantization", 0)


def strides_of(shape: tuple[int, ...]) -> list[int]:
    """Elements from one index to the next along each axis of a dense tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return strides[::-1]


def lower_gather(
    graph: Graph, op: Operator, start: int, shape: list[int], steps: list[int]
) -> Layer:
    """A copy by steps, or no code where it is the input as it lies.

    Args:
        start: the input element that becomes the first of the output.
        shape: of the output.
        steps: input elements from one output index to the next, along each axis.
    """
    source, target = graph.input(op, 0), graph.output(op)
    sizes: list[int] = []
    merged: list[int] = []
    for size, step in zip(shape, steps, strict=True):
        if size == 1:
            continue
        if merged and merged[-1] == size * step:
            sizes[-1], merged[-1] = sizes[-1] * size, step
        else:
            sizes.append(size)
            merged.append(step)
    if source.elements == target.elements and merged in ([1], []):
        return Layer(op.index, op.kind, target.name, (source.index,), op.outputs, alias=True)
    return _gather(graph, op, start, sizes, merged)


def copy_layer(graph: Graph, op: Operator) -> Layer:
    """A copy of an operator's input to its output, element by element."""
    return _gather(graph, op, 0, [graph.output(op).elements], [1])


def _gather(graph: Graph, op: Operator, start: int, sizes: list[int], steps: list[int]) -> Layer:
    source, target = graph.input(op, 0), graph.output(op)
    missing = MAX_AXES - len(sizes)
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_gather_s8",
        params=GatherParams(
            start=start,
            shape=(1,) * missing + tuple(sizes),
            step=(0,) * missing + tuple(steps),
        ),
    )  # fmt: skip
