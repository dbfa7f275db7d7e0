# SPDX-License-Identifier: Apache-2.0
"""RELU6 where it is not fused into the operator in front: a clamp of the stored bytes."""

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import activation_range, require_int8
from deploy.tflite.ops.lookup import check_lookup, infer_lookup, lower_lookup
from deploy.tflite.schema import ActivationFunctionType, BuiltinOptions

OPTIONS = BuiltinOptions.NONE
NEEDS_OPTIONS = False

infer = infer_lookup


def read(options: Table | None) -> None:
    """It has no options."""


def check(graph: Graph, op: Operator) -> None:
    """Types, and one quantization: the reference looks at the input's alone."""
    check_lookup(graph, op)
    in_q = require_int8(graph, op, graph.input(op, 0), "input")
    if in_q != require_int8(graph, op, graph.output(op), "output"):
        raise graph.error(op, "its input and output have different quantization", 0)
    if 6.0 / in_q.scales[0] > 2**30:
        raise graph.error(op, f"scale {in_q.scales[0]:g} is too small for it; calibrate again", 0)


def lower(graph: Graph, op: Operator) -> Layer:
    """A look-up."""
    low, high = activation_range(
        ActivationFunctionType.RELU6, require_int8(graph, op, graph.input(op, 0), "input")
    )
    return lower_lookup(graph, op, lambda value: max(low, min(high, value)))
