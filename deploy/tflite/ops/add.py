# SPDX-License-Identifier: Apache-2.0
"""ADD of two tensors, or of a tensor and a constant, with broadcasting."""

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import activation_range, quantize_multiplier, require_int8
from deploy.tflite.ops.elementwise import (
    check_elementwise,
    infer_elementwise,
    lower_elementwise,
    read_elementwise,
)
from deploy.tflite.ops.sum import LEFT_SHIFT, arithmetic_of_sum, lower_weighted_sum
from deploy.tflite.parameters import AddParams
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.AddOptions
NEEDS_OPTIONS = False

read = read_elementwise
infer = infer_elementwise


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and scales."""
    check_elementwise(graph, op)
    if multipliers(graph, op)[2][1] > 0:
        raise graph.error(
            op, "its output scale is too small against its inputs' scales; calibrate again"
        )


def multipliers(graph: Graph, op: Operator) -> list[tuple[int, int]]:
    """(multiplier, exponent) of the first input, the second and the output."""
    first = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
    second = require_int8(graph, op, graph.input(op, 1), "input").scales[0]
    target = require_int8(graph, op, graph.output(op), "output").scales[0]
    twice_max = 2 * max(first, second)
    return [
        quantize_multiplier(first / twice_max),
        quantize_multiplier(second / twice_max),
        quantize_multiplier(twice_max / ((1 << LEFT_SHIFT) * target)),
    ]


def lower(graph: Graph, op: Operator) -> Layer:
    """Two tensors of one shape have kernels of their own; the output may overwrite either."""
    weighted = lower_weighted_sum(graph, op, multipliers(graph, op), 1)
    if weighted is not None:
        return weighted
    first, second, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    constant = first.data is not None or second.data is not None
    if constant or not first.elements == second.elements == target.elements:
        arithmetic = arithmetic_of_sum(
            graph, op, "nb_add_elements_s8", multipliers(graph, op), lambda a, b: a + b
        )
        return lower_elementwise(graph, op, arithmetic)
    out_q = require_int8(graph, op, target, "output")
    zeros = [require_int8(graph, op, t, "input").zero_points[0] for t in (first, second)]
    low, high = activation_range(op.attributes.activation, out_q)
    (m1, e1), (m2, e2), (m3, e3) = multipliers(graph, op)
    return Layer(
        op.index, op.kind, target.name, (first.index, second.index), op.outputs,
        kernel="nb_add_s8",
        params=AddParams(
            row=target.elements // target.height,
            multiplier=(m1, m2, m3),
            zero_point=(*zeros, out_q.zero_points[0]),
            shift=(-e1, -e2, -e3),
            minimum=low, maximum=high,
        ),
        in_place=(0, 1),
        rows=RowWindow(),
    )  # fmt: skip
