# SPDX-License-Identifier: Apache-2.0
"""gemmlowp's fixed-point functions on Python integers, for tables made at compile time.

Raw values are int32; Qm.n means m integer bits and n = 31 - m fraction bits.
"""

from typing import TypeVar

import numpy as np

Number = TypeVar("Number", int, np.ndarray)  # an array is int64

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def saturating_rounding_doubling_high_mul(a: Number, b: int) -> Number:
    """(a * b * 2) >> 32, rounded to nearest, ties away from zero for positive results only.

    ``b`` is not INT32_MIN where ``a`` is an array.
    """
    if isinstance(a, int) and a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + (1 << 30)) >> 31


def rounding_divide_by_pot(x: Number, exponent: int) -> Number:
    """x / 2**exponent, rounded to nearest, ties away from zero."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def saturating_left_shift(x: int, amount: int) -> int:
    """x * 2**amount within int32."""
    return max(INT32_MIN, min(INT32_MAX, x << amount))


# exp(-2**k) in Q0.31 for k = -2 .. 4, as gemmlowp has them.
_BARREL = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def exp_on_negative_values(a: int, integer_bits: int) -> int:
    """exp(a) in Q0.31 for a <= 0 in Q(integer_bits); ``integer_bits`` at most 5."""
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    reduced = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(saturating_left_shift(reduced, integer_bits))
    remainder = reduced - a
    for position, multiplier in enumerate(_BARREL[: integer_bits + 2]):
        if remainder & (1 << (fraction_bits + position - 2)):
            result = saturating_rounding_doubling_high_mul(result, multiplier)
    return result


def _exp_near_zero(a: int) -> int:
    """exp(a) in Q0.31 for a in [-1/4, 0) in Q0.31: a Taylor expansion around -1/8."""
    multiply = saturating_rounding_doubling_high_mul
    constant_term, one_third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = multiply(x, x)
    x3 = multiply(x2, x)
    x4 = multiply(x2, x2)
    x4_over_4 = rounding_divide_by_pot(x4, 2)
    tail = rounding_divide_by_pot(multiply(x4_over_4 + x3, one_third) + x2, 1)
    return constant_term + multiply(constant_term, x + tail)


def logistic(a: int, integer_bits: int) -> int:
    """1 / (1 + exp(-a)) in Q0.31 for a in Q(integer_bits)."""
    if a == 0:
        return 1 << 30
    positive = rescale(_newton(exp_on_negative_values(-abs(a), integer_bits)), 1)
    return positive if a > 0 else INT32_MAX - positive


def tanh(a: int, integer_bits: int) -> int:
    """tanh(a) in Q0.31 for a in Q(integer_bits); ``integer_bits`` at most 4."""
    if a == 0:
        return 0
    # exp(-2|a|): the same bits, read with one integer bit more.
    inverse = _newton(exp_on_negative_values(-abs(a), integer_bits + 1))
    positive = rescale(inverse - (1 << 29), 2)
    return positive if a > 0 else -positive


def _newton(a: int) -> int:
    """2 / (1 + a) in Q2.29 for a in [0, 1] in Q0.31: three steps from 48/17 - 32/17 * (1 + a)/2."""
    multiply = saturating_rounding_doubling_high_mul
    half_denominator = (a + INT32_MAX + 1) // 2
    x = 1515870810 + multiply(half_denominator, -1010580540)
    for _ in range(3):
        x += rescale(multiply(x, (1 << 29) - multiply(half_denominator, x)), 2)
    return x


def rescale(x: int, amount: int) -> int:
    """x * 2**amount, saturated symmetrically below as gemmlowp does."""
    limit = (1 << (31 - amount)) - 1
    return INT32_MAX if x > limit else INT32_MIN if x < -limit else x << amount


def multiply_by_quantized_multiplier(x: int, multiplier: int, exponent: int) -> int:
    """x * multiplier * 2**(exponent - 31) with the reference's two roundings and wrapping shift."""
    if exponent > 0:
        x = wrap_int32(x << exponent)
    high = saturating_rounding_doubling_high_mul(x, multiplier)
    return rounding_divide_by_pot(high, max(-exponent, 0))


def wrap_int32(x: int) -> int:
    """x modulo 2**32, as a signed number."""
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def wrap_int16(x: int) -> int:
    """x modulo 2**16, as a signed number."""
    return (x + (1 << 15)) % (1 << 16) - (1 << 15)
