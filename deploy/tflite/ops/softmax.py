# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX over the last axis.

An int8 input has at most 256 differences to its row's maximum, so the fixed-point exponential of
every difference is computed here and the kernel looks it up.
"""

import math
from dataclasses import dataclass

import numpy as np

from deploy.tflite.fixed_point import exp_on_negative_values, saturating_rounding_doubling_high_mul
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.numerics import INT32_MAX, quantize_multiplier, require_int8
from deploy.tflite.parameters import SoftmaxParams
from deploy.tflite.schema import BuiltinOptions, SoftmaxOptions
from deploy.tflite.values import Constant

OPTIONS = BuiltinOptions.SoftmaxOptions
NEEDS_OPTIONS = True
INTEGER_BITS = 5  # of the scaled difference, Q5.26


@dataclass(frozen=True)
class Softmax:
    """Attributes of SOFTMAX."""

    beta: float


def read(options: Table | None) -> Softmax:
    """Attributes from SoftmaxOptions."""
    assert options is not None
    return Softmax(options.real(SoftmaxOptions.BETA))


def _real_multiplier(graph: Graph, op: Operator) -> float:
    scale = require_int8(graph, op, graph.input(op, 0), "input").scales[0]
    return min(op.attributes.beta * scale * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1.0)


def check(graph: Graph, op: Operator) -> None:
    """Types, the fixed output quantization, and a beta that the fixed-point form can hold."""
    source = graph.input(op, 0)
    require_int8(graph, op, source, "input")
    out_q = require_int8(graph, op, graph.output(op), "output")
    if out_q.scales[0] != 1 / 256 or out_q.zero_points[0] != -128:
        raise graph.error(op, "its output must have scale 1/256 and zero point -128")
    if not source.shape:
        raise graph.error(op, "a scalar has no axis to normalize", 0)
    if source.shape[-1] > 4095:
        raise graph.error(op, f"{source.shape[-1]} classes, at most 4095 fit its accumulator", 0)
    beta = op.attributes.beta
    if not (math.isfinite(beta) and beta > 0 and _real_multiplier(graph, op) > 1.0):
        raise graph.error(op, f"beta {beta} with the input's scale is out of range")


def infer(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The input's shape."""
    return graph.input(op, 0).shape


def exponentials(real_multiplier: float) -> np.ndarray:
    """int32 [256]: exp of minus i input steps in Q0.31, 0 where the interpreter skips it."""
    multiplier, left_shift = quantize_multiplier(real_multiplier)
    radius = math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << left_shift))
    table = np.zeros(256, np.int32)
    for step in range(min(radius, 255) + 1):
        scaled = saturating_rounding_doubling_high_mul(-step * (1 << left_shift), multiplier)
        # The largest exponential is 1.0 - 2**-31; a 0 means "skipped", which small ones never are:
        # they are added as 0 and give the same output as a skipped one.
        table[step] = min(exp_on_negative_values(scaled, INTEGER_BITS), INT32_MAX)
    return table


def lower(graph: Graph, op: Operator) -> Layer:
    """Row by row; in place."""
    source, target = graph.input(op, 0), graph.output(op)
    depth = source.shape[-1]
    return Layer(
        op.index, op.kind, target.name, (source.index,), op.outputs,
        kernel="nb_softmax_s8",
        params=SoftmaxParams(
            exponentials=Constant(exponentials(_real_multiplier(graph, op)), "tables"),
            rows=source.elements // depth,
            depth=depth,
        ),
        in_place=(0,),
    )  # fmt: skip
