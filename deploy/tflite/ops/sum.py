# SPDX-License-Identifier: Apache-2.0
"""What ADD and SUB share: both operands are brought to a common scale at 20 more bits."""

from collections.abc import Callable

import numpy as np

from deploy.tflite.fixed_point import (
    Number,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.numerics import activation_range, require_int8
from deploy.tflite.ops.elementwise import Arithmetic
from deploy.tflite.ops.weighted_sum import find_weighted_sum
from deploy.tflite.parameters import WeightedSumParams

LEFT_SHIFT = 20


def arithmetic_of_sum(
    graph: Graph,
    op: Operator,
    function: str,
    multipliers: list[tuple[int, int]],
    combine: Callable[[int, int], int],
) -> Arithmetic:
    """The constants of a sum or a difference.

    Args:
        function: the kernel's name.
        multipliers: (multiplier, exponent) of both operands and of the result; no exponent is
            above 0.
        combine: the sum or the difference.
    """
    zeros = [
        require_int8(graph, op, tensor, "operand").zero_points[0]
        for tensor in (graph.input(op, 0), graph.input(op, 1), graph.output(op))
    ]
    out_q = require_int8(graph, op, graph.output(op), "output")
    low, high = activation_range(op.attributes.activation, out_q)

    def of(first: int, second: int) -> int:
        a = _scaled((first - zeros[0]) << LEFT_SHIFT, multipliers[0])
        b = _scaled((second - zeros[1]) << LEFT_SHIFT, multipliers[1])
        return max(low, min(high, _scaled(wrap_int32(combine(a, b)), multipliers[2]) + zeros[2]))

    (m0, e0), (m1, e1), (m2, e2) = multipliers
    return Arithmetic(function, (m0, m1, m2), (-e0, -e1, -e2), of)


def lower_weighted_sum(
    graph: Graph, op: Operator, multipliers: list[tuple[int, int]], sign: int
) -> Layer | None:
    """The kernel for two tensors of one shape; None where shapes or numbers do not allow it.

    Args:
        multipliers: as for :func:`arithmetic_of_sum`.
        sign: of the second operand.
    """
    first, second, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    constant = first.data is not None or second.data is not None
    if constant or not first.elements == second.elements == target.elements:
        return None
    quantizations = [require_int8(graph, op, t, "operand") for t in (first, second, target)]
    if activation_range(op.attributes.activation, quantizations[2]) != (-128, 127):
        return None
    zeros = [own.zero_points[0] for own in quantizations]
    scales = [float(own.scales[0]) for own in quantizations]
    found = find_weighted_sum(
        _every_output(zeros, multipliers, sign),
        (scales[0] / scales[2], sign * scales[1] / scales[2]),
    )
    if found is None:
        return None
    return Layer(
        op.index, op.kind, target.name, (first.index, second.index), op.outputs,
        kernel="nb_weighted_sum_s8",
        params=WeightedSumParams(
            row=target.elements // target.height,
            factor=found.factors,
            offset=found.offset,
        ),
        in_place=(0, 1),
        rows=RowWindow(),
    )  # fmt: skip


def _scaled(value: Number, multiplier: tuple[int, int]) -> Number:
    """A value times a (multiplier, exponent), rounded twice as the reference does."""
    factor, exponent = multiplier
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(value, factor), -exponent)


def _every_output(zeros: list[int], multipliers: list[tuple[int, int]], sign: int) -> np.ndarray:
    """What :func:`arithmetic_of_sum` gives for all pairs of bytes, int64 [256, 256]."""
    values = np.arange(-128, 128, dtype=np.int64)
    first, second = (_scaled((values - zeros[i]) << LEFT_SHIFT, multipliers[i]) for i in (0, 1))
    total = first[:, None] + sign * second[None, :]
    return np.clip(_scaled(total, multipliers[2]) + zeros[2], -128, 127)
