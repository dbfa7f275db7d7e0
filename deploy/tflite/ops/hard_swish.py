# SPDX-License-Identifier: Apache-2.0
"""HARD_SWISH: x * relu6(x + 3) / 6, in the 16-bit arithmetic of the reference."""

import numpy as np

from deploy.tflite.fixed_point import wrap_int16
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import MAX_EXPONENT, quantize_multiplier, require_int8
from deploy.tflite.ops.lookup import check_lookup, infer_lookup, lower_lookup
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.HardSwishOptions
NEEDS_OPTIONS = False
INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1

infer = infer_lookup


def read(options: Table | None) -> None:
    """HardSwishOptions has no fields."""


def _multipliers(graph: Graph, op: Operator) -> list[tuple[int, int]]:
    """(16-bit multiplier, exponent) to the output's scale, and to that where 3.0 is 2**15.

    The scales are divided in float32, as the reference does.
    """
    source = np.float32(require_int8(graph, op, graph.input(op, 0), "input").scales[0])
    target = np.float32(require_int8(graph, op, graph.output(op), "output").scales[0])
    fine = np.float32(1 / 128) * source
    found = []
    for scale in (target, np.float32(3) / np.float32(32768)):
        with np.errstate(over="ignore"):
            real = float(fine / scale)
        if not np.isfinite(real):
            raise graph.error(op, f"output scale {float(scale):g} is too small; calibrate again")
        multiplier, exponent = quantize_multiplier(real)
        found.append((min((multiplier + (1 << 15)) >> 16, INT16_MAX), exponent))
    return found


def check(graph: Graph, op: Operator) -> None:
    """Types, and scales that the 16-bit arithmetic can hold."""
    check_lookup(graph, op)
    (_, out_exponent), (_, reluish_exponent) = _multipliers(graph, op)
    if out_exponent > 0 or reluish_exponent > MAX_EXPONENT:
        raise graph.error(
            op, "its output scale is too small against its input scale; calibrate again"
        )


def lower(graph: Graph, op: Operator) -> Layer:
    """A look-up."""
    in_zero = require_int8(graph, op, graph.input(op, 0), "input").zero_points[0]
    out_zero = require_int8(graph, op, graph.output(op), "output").zero_points[0]
    (out_multiplier, out_exponent), (multiplier, exponent) = _multipliers(graph, op)

    def of(value: int) -> int:
        fine = (value - in_zero) * 128
        preshift = _rounding_high_mul(fine, out_multiplier)
        reluish = fine
        if exponent > 0:
            reluish = _saturate(reluish << (exponent - 1))
        reluish = _rounding_high_mul(reluish, multiplier)
        if exponent > 0:
            reluish = _saturate(reluish << 1)
        if exponent < 0:
            reluish = _divide_by_pot(reluish, -exponent)
        reluish = (reluish + (1 << 15)) >> 1
        # This product rounds towards zero, which undoes the bias of the roundings before.
        product = reluish * preshift
        high = -(-product >> 15) if product < 0 else product >> 15
        result = wrap_int16(_divide_by_pot(high, -out_exponent) + out_zero)
        return max(-128, min(127, result))

    return lower_lookup(graph, op, of)


def _saturate(x: int) -> int:
    return max(INT16_MIN, min(INT16_MAX, x))


def _rounding_high_mul(a: int, b: int) -> int:
    """(a * b * 2) >> 16, rounded to nearest; b is a multiplier and never INT16_MIN."""
    return (a * b + (1 << 14)) >> 15


def _divide_by_pot(x: int, exponent: int) -> int:
    """x / 2**exponent rounded to nearest, in 16-bit registers, where the mask may wrap."""
    mask = wrap_int16((1 << exponent) - 1)
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)
