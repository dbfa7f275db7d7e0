"""Means with confidence intervals over seeds."""

import math
import statistics
from collections.abc import Sequence

# 97.5% quantiles of Student's t for 1, 2, ... degrees of freedom; beyond, the normal's is close.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95% t-interval; the width is nan for fewer than two values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    freedom = len(values) - 1
    quantile = T_975[freedom - 1] if freedom <= len(T_975) else 2.21
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
