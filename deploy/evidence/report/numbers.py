# SPDX-License-Identifier: Apache-2.0
"""How the report writes numbers: one place, so that page and terminal agree."""

import math

MINUS = "\N{MINUS SIGN}"


def count(value: int | None) -> str:
    """``1234567`` -> ``1,234,567``; an unknown value is an en dash."""
    return "–" if value is None else f"{value:,}".replace("-", MINUS)


def signed(value: int) -> str:
    """A difference with its sign; zero has none."""
    return "0" if value == 0 else f"{value:+,}".replace("-", MINUS)


def signed_percent(value: float | None) -> str:
    """A relative difference in percent with its sign; an unknown one is an en dash."""
    if value is None:
        return "–"
    if value == 0:
        return "0%"
    # Two decimals; of smaller values the first digit that is not zero.
    decimals = max(2, -math.floor(math.log10(abs(value))))
    return f"{value:+.{decimals}f}%".replace("-", MINUS)


def accuracy(value: float | None) -> str:
    """A fraction 0..1 as percent with two decimals."""
    return "–" if value is None else f"{100 * value:.2f}%"


def points(value: float | None) -> str:
    """A difference of two accuracies (fractions) in percentage points with its sign."""
    if value is None:
        return "–"
    text = f"{100 * value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", MINUS)


def kilobytes(value: int | None) -> str:
    """Bytes in KB of 1,000 bytes."""
    return "–" if value is None else f"{value / 1000:,.1f} KB"


def millions(value: int | None) -> str:
    """A large count, shortened: ``3,690,000`` -> ``3.69 M``."""
    if value is None:
        return "–"
    if value >= 1_000_000:
        return f"{value / 1e6:.4g} M" if value < 1e9 else f"{value / 1e6:,.0f} M"
    return f"{value / 1e3:.4g} k" if value >= 1000 else str(value)


def ratio(numerator: int, denominator: int) -> str:
    """A quotient with three decimals; an en dash where it has no meaning."""
    return f"{numerator / denominator:.3f}" if numerator and denominator else "–"


def milliseconds(value: float | None) -> str:
    """A duration in milliseconds, three significant digits at least."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value >= 1000 else f"{value:.3g} ms"


def clock(hertz: int) -> str:
    """A clock rate in MHz."""
    return f"{hertz / 1e6:g} MHz"
