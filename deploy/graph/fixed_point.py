"""gemmlowp's fixed-point functions on Python integers, for tables made at compile time.

Raw values are int32; Qm.n means m integer bits and n = 31 - m fraction bits.
"""

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def saturating_rounding_doubling_high_mul(a: int, b: int) -> int:
    """(a * b * 2) >> 32, rounded to nearest, ties away from zero for positive results only."""
    if a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + (1 << 30)) >> 31


def rounding_divide_by_pot(x: int, exponent: int) -> int:
    """x / 2**exponent, rounded to nearest, ties away from zero."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if (x & mask) > threshold else 0)


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
