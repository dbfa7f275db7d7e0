# SPDX-License-Identifier: Apache-2.0
"""MUL of two tensors, or of a tensor and a constant, with broadcasting."""

from deploy.tflite.fixed_point import multiply_by_quantized_multiplier
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import activation_range, require_int8
from deploy.tflite.ops.elementwise import (
    Arithmetic,
    check_elementwise,
    infer_elementwise,
    lower_elementwise,
    read_elementwise,
)
from deploy.tflite.ops.rescale import check_exponent
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.MulOptions
NEEDS_OPTIONS = False
# A product of 17 bits, shifted to the left by more, leaves 32 bits: the reference is not defined.
MAX_LEFT_SHIFT = 14

read = read_elementwise
infer = infer_elementwise


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and scales."""
    check_elementwise(graph, op)
    _multiplier(graph, op)


def _multiplier(graph: Graph, op: Operator) -> tuple[int, int]:
    first, second, target = (
        require_int8(graph, op, tensor, "operand").scales[0]
        for tensor in (graph.input(op, 0), graph.input(op, 1), graph.output(op))
    )
    return check_exponent(graph, op, first * second / target, MAX_LEFT_SHIFT)


def lower(graph: Graph, op: Operator) -> Layer:
    """The walk that suits the shapes."""
    zeros = [
        require_int8(graph, op, tensor, "operand").zero_points[0]
        for tensor in (graph.input(op, 0), graph.input(op, 1), graph.output(op))
    ]
    multiplier, exponent = _multiplier(graph, op)
    out_q = require_int8(graph, op, graph.output(op), "output")
    low, high = activation_range(op.attributes.activation, out_q)

    def of(first: int, second: int) -> int:
        product = (first - zeros[0]) * (second - zeros[1])
        scaled = multiply_by_quantized_multiplier(product, multiplier, exponent)
        return max(low, min(high, scaled + zeros[2]))

    arithmetic = Arithmetic("nb_mul_elements_s8", (0, 0, multiplier), (0, 0, -exponent), of)
    return lower_elementwise(graph, op, arithmetic)
