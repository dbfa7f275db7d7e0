# SPDX-License-Identifier: Apache-2.0
"""Means with confidence intervals over seeds."""

import math
import statistics
from collections.abc import Sequence


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95% t-interval; the width is nan for fewer than two values."""
    from scipy.stats import t  # takes a second to import, which only a finished table needs

    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    error = statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(t.ppf(0.975, len(values) - 1)) * error
