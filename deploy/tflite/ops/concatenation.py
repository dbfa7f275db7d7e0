# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION of computed tensors along any axis."""

from dataclasses import dataclass

import numpy as np

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import require_int8
from deploy.tflite.ops.lookup import refuse_constant
from deploy.tflite.parameters import ConcatenationParams
from deploy.tflite.schema import BuiltinOptions, ConcatenationOptions
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.ConcatenationOptions
NEEDS_OPTIONS = True
MAX_INPUTS = 10  # of the reference


@dataclass(frozen=True)
class Concatenation:
    """Attributes of CONCATENATION."""

    axis: int
    activation: int


def read(options: Table | None) -> Concatenation:
    """Attributes from ConcatenationOptions."""
    assert options is not None
    return Concatenation(
        options.integer(ConcatenationOptions.AXIS),
        options.integer(ConcatenationOptions.FUSED_ACTIVATION_FUNCTION),
    )


def _axis(graph: Graph, op: Operator) -> int:
    axis, rank = op.attributes.axis, len(graph.input(op, 0).shape)
    if not -rank <= axis < rank:
        raise graph.error(op, f"axis {axis} is none of {rank}", 0)
    return int(axis % rank)


def check(graph: Graph, op: Operator) -> None:
    """Types, one quantization for all, and shapes that differ along the axis alone."""
    if not 1 <= len(op.inputs) <= MAX_INPUTS:
        raise graph.error(op, f"{len(op.inputs)} inputs; 1 to {MAX_INPUTS} are supported")
    if op.attributes.activation != 0:
        raise graph.error(op, "a fused activation is not supported")
    out_q = require_int8(graph, op, graph.output(op), "output")
    first = graph.input(op, 0).shape
    axis = _axis(graph, op)
    for position in range(len(op.inputs)):
        tensor = graph.input(op, position)
        in_q = require_int8(graph, op, tensor, "input")
        refuse_constant(graph, op, position)
        if (in_q.scales, in_q.zero_points) != (out_q.scales, out_q.zero_points):
            raise graph.error(op, "its inputs and output need one quantization", position)
        shape = tensor.shape
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis
        ):
            raise graph.error(
                op, f"shapes {list(first)} and {list(shape)} differ elsewhere than along axis "
                f"{axis}", position,
            )  # fmt: skip


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The sum along the axis."""
    axis, shapes = _axis(graph, op), [graph.input(op, i).shape for i in range(len(op.inputs))]
    total = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def lower(graph: Graph, op: Operator) -> Layer:
    """Copies of runs, of what the inputs' layers cannot write into the output in place: see
    deploy/schedule/join.py. Where they write all, this layer is gone."""
    target, axis = graph.output(op), _axis(graph, op)
    shapes = [graph.input(op, i).shape for i in range(len(op.inputs))]
    runs = [int(np.prod(shape[axis:], dtype=np.int64)) for shape in shapes]
    begins = np.cumsum([0, *runs])
    return Layer(
        op.index, op.kind, target.name, op.inputs, op.outputs,
        kernel="nb_concatenation_s8",
        params=ConcatenationParams(
            runs=Constant(
                np.stack([runs, begins[:-1]], axis=1).astype(np.uint32).reshape(-1), "tables"
            ),
            inputs=len(runs),
            blocks=int(np.prod(target.shape[:axis], dtype=np.int64)),
            block=int(begins[-1]),
        ),
        input_array=True,
    )  # fmt: skip
