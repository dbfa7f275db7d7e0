# SPDX-License-Identifier: Apache-2.0
"""The factor between two scales, where the reference shifts its small operands to the left."""

import math

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.numerics import quantize_multiplier

# An operand of 9 bits, shifted to the left by more, leaves 32 bits: the reference is not defined.
MAX_LEFT_SHIFT = 22


def check_exponent(
    graph: Graph, op: Operator, real: float, largest: int = MAX_LEFT_SHIFT
) -> tuple[int, int]:
    """(multiplier, exponent) of a factor; DeployError where the exponent is above ``largest``."""
    if math.isfinite(real):
        multiplier, exponent = quantize_multiplier(real)
        if exponent <= largest:
            return multiplier, exponent
    raise graph.error(op, "its output scale is too small against its input scale; calibrate again")
