"""What ADD and SUB share: both operands are brought to a common scale at 20 more bits."""

from collections.abc import Callable

from deploy.graph.fixed_point import (
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)
from deploy.graph.ir import Graph, Operator
from deploy.graph.numerics import activation_range, require_int8
from deploy.graph.ops.elementwise import Arithmetic

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

    def scaled(value: int, which: int) -> int:
        multiplier, exponent = multipliers[which]
        return rounding_divide_by_pot(
            saturating_rounding_doubling_high_mul(value, multiplier), -exponent
        )

    def of(first: int, second: int) -> int:
        a = scaled((first - zeros[0]) << LEFT_SHIFT, 0)
        b = scaled((second - zeros[1]) << LEFT_SHIFT, 1)
        return max(low, min(high, scaled(wrap_int32(combine(a, b)), 2) + zeros[2]))

    (m0, e0), (m1, e1), (m2, e2) = multipliers
    return Arithmetic(function, (m0, m1, m2), (-e0, -e1, -e2), of)
