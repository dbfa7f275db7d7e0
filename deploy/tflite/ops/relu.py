# SPDX-License-Identifier: Apache-2.0
"""RELU where it is not fused into the operator in front."""

import numpy as np

from deploy.tflite.fixed_point import multiply_by_quantized_multiplier
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import activation_range, require_int8
from deploy.tflite.ops.lookup import check_lookup, infer_lookup, lower_lookup
from deploy.tflite.ops.rescale import check_exponent
from deploy.tflite.schema import ActivationFunctionType, BuiltinOptions

OPTIONS = BuiltinOptions.NONE
NEEDS_OPTIONS = False

infer = infer_lookup


def read(options: Table | None) -> None:
    """It has no options."""


def _multiplier(graph: Graph, op: Operator) -> tuple[int, int]:
    source = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
    target = require_int8(graph, op, graph.output(op), "output").scales[0]
    with np.errstate(over="ignore"):
        real = float(np.float32(source) / np.float32(target))  # in float32, as the reference
    return check_exponent(graph, op, real)


def check(graph: Graph, op: Operator) -> None:
    """Types and scales."""
    check_lookup(graph, op)
    _multiplier(graph, op)


def lower(graph: Graph, op: Operator) -> Layer:
    """A look-up."""
    in_zero = require_int8(graph, op, graph.input(op, 0), "input").zero_points[0]
    out_q = require_int8(graph, op, graph.output(op), "output")
    multiplier, exponent = _multiplier(graph, op)
    low, high = activation_range(ActivationFunctionType.RELU, out_q)

    def of(value: int) -> int:
        scaled = multiply_by_quantized_multiplier(value - in_zero, multiplier, exponent)
        return max(low, min(high, scaled + out_q.zero_points[0]))

    return lower_lookup(graph, op, of)
