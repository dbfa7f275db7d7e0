# SPDX-License-Identifier: Apache-2.0
"""What LOGISTIC and TANH share: a function of the input in Q4.27, with a fixed output scale."""

import math
from collections.abc import Callable

from deploy.tflite.fixed_point import multiply_by_quantized_multiplier, rounding_divide_by_pot
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import quantize_multiplier, require_int8
from deploy.tflite.ops.lookup import check_lookup, lower_lookup

INTEGER_BITS = 4  # of the scaled input


def check_saturating(graph: Graph, op: Operator, scale: float, zero_point: int) -> None:
    """Types, and the output quantization that the operator prescribes."""
    check_lookup(graph, op)
    out_q = require_int8(graph, op, graph.output(op), "output")
    if out_q.scales[0] != scale or out_q.zero_points[0] != zero_point:
        raise graph.error(
            op, f"its output must have scale 1/{1 / scale:g} and zero point {zero_point}"
        )
    _, exponent = _multiplier(graph, op)
    if not 0 <= exponent <= 62:
        in_scale = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
        raise graph.error(op, f"input scale {in_scale:g} is out of range; calibrate again", 0)


def _multiplier(graph: Graph, op: Operator) -> tuple[int, int]:
    scale = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
    return quantize_multiplier(scale * 2.0 ** (31 - INTEGER_BITS))


def lower_saturating(
    graph: Graph, op: Operator, function: Callable[[int, int], int], fraction_bits: int
) -> Layer:
    """A table of ``function`` (Q4.27 to Q0.31), rounded to ``fraction_bits``."""
    zero_point = require_int8(graph, op, graph.input(op, 0), "input").zero_points[0]
    out_zero = require_int8(graph, op, graph.output(op), "output").zero_points[0]
    multiplier, exponent = _multiplier(graph, op)
    radius = math.floor(15 * 2.0 ** (31 - INTEGER_BITS) / 2.0**exponent)

    def of(value: int) -> int:
        distance = value - zero_point
        if distance <= -radius:
            return -128
        if distance >= radius:
            return 127
        scaled = multiply_by_quantized_multiplier(distance, multiplier, exponent)
        result = rounding_divide_by_pot(function(scaled, INTEGER_BITS), 31 - fraction_bits)
        return max(-128, min(127, result + out_zero))

    return lower_lookup(graph, op, of)
