# SPDX-License-Identifier: Apache-2.0
"""RESHAPE: no code, the output is the input's memory."""

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_int8
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.ReshapeOptions
NEEDS_OPTIONS = False


def read(options: Table | None) -> None:
    """The declared output shape says all; new_shape may repeat it, with a -1."""


def check(graph: Graph, op: Operator) -> None:
    """Same number of elements, same quantization."""
    source, target = graph.input(op, 0), graph.output(op)
    in_q = require_int8(graph, op, source, "input")
    out_q = require_int8(graph, op, target, "output")
    if (in_q.scales, in_q.zero_points) != (out_q.scales, out_q.zero_points):
        raise graph.error(op, "its input and output have different quantization", 0)
    if source.data is not None:
        raise graph.error(op, "a constant input is not supported; fold it before export", 0)
    if source.elements != target.elements:
        raise graph.error(op, f"{source.elements} elements become {target.elements}", 0)


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The declared shape (checked to have as many elements)."""
    return graph.output(op).shape


def lower(graph: Graph, op: Operator) -> Layer:
    """An alias."""
    source, target = graph.input(op, 0), graph.output(op)
    return Layer(op.index, op.kind, target.name, (source.index,), op.outputs, alias=True)
