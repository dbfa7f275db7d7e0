# SPDX-License-Identifier: Apache-2.0
"""SUB of two tensors, or of a tensor and a constant, with broadcasting."""

import math

import numpy as np

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import quantize_multiplier, require_int8
from deploy.tflite.ops.elementwise import (
    check_elementwise,
    infer_elementwise,
    lower_elementwise,
    read_elementwise,
)
from deploy.tflite.ops.sum import LEFT_SHIFT, arithmetic_of_sum, lower_weighted_sum
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.SubOptions
NEEDS_OPTIONS = False

read = read_elementwise
infer = infer_elementwise


def check(graph: Graph, op: Operator) -> None:
    """Types, shapes and scales."""
    check_elementwise(graph, op)
    _multipliers(graph, op)


def _multipliers(graph: Graph, op: Operator) -> list[tuple[int, int]]:
    """(multiplier, exponent) of the first input, the second and the output.

    The scales are divided in float32, as the reference does (for ADD it uses double).
    """
    first, second, target = (
        np.float32(require_int8(graph, op, tensor, "operand").scales[0])
        for tensor in (graph.input(op, 0), graph.input(op, 1), graph.output(op))
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        twice_max = np.float32(2) * max(first, second)
        factors = [
            float(first / twice_max),
            float(second / twice_max),
            float(twice_max / (np.float32(1 << LEFT_SHIFT) * target)),
        ]
    if not all(math.isfinite(factor) and 0 < factor < 1 for factor in factors):
        raise graph.error(op, "its scales are too far apart; calibrate again")
    found = [quantize_multiplier(factor) for factor in factors]
    if any(exponent > 0 for _, exponent in found):
        raise graph.error(op, "its scales are too far apart; calibrate again")
    return found


def lower(graph: Graph, op: Operator) -> Layer:
    """The walk that suits the shapes."""
    multipliers = _multipliers(graph, op)
    weighted = lower_weighted_sum(graph, op, multipliers, -1)
    if weighted is not None:
        return weighted
    arithmetic = arithmetic_of_sum(graph, op, "nb_sub_elements_s8", multipliers, lambda a, b: a - b)
    return lower_elementwise(graph, op, arithmetic)
