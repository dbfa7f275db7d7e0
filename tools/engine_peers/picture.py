# SPDX-License-Identifier: Apache-2.0
"""Bars of instructions and RAM, ours beside the others."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

_OURS, _LIVE, _SAVED = "#2a7f3f", "#4e79a7", "#b9c4d0"


def render(rows: list[dict[str, Any]]) -> str:
    """An SVG with a line of two charts for each model; the same rows give the same bytes."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    with matplotlib.rc_context({"svg.hashsalt": "netbooster", "svg.fonttype": "none"}):
        tallest = max(sum(row["model"] == model for row in rows) for model in models)
        figure = Figure(figsize=(11, 0.42 * tallest * len(models) + 1), layout="constrained")
        axes = figure.subplots(len(models), 2, squeeze=False)
        for line, model in enumerate(models):
            own = [row for row in rows if row["model"] == model]
            own.sort(key=lambda row: row["instructions"], reverse=True)
            for column, (key, scale, unit) in enumerate(
                (("instructions", 1e6, "million instructions"), ("ram", 1e3, "KB of RAM"))
            ):
                _chart(axes[line][column], own, key, scale, f"{model}: {unit}", column == 0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _chart(
    axes: Any, rows: list[dict[str, Any]], key: str, scale: float, title: str, named: bool
) -> None:
    values = [row[key] / scale for row in rows]
    colors = [_OURS if row["ours"] else _SAVED if row["saved"] else _LIVE for row in rows]
    bars = axes.barh(range(len(rows)), values, color=colors)
    axes.bar_label(bars, labels=[f"{value:,.3g}" for value in values], padding=3, fontsize=8)
    names = [
        row["runtime"]
        + ("" if row["exact"] else " (not exact)")
        + (" (saved)" if row["saved"] else "")
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names if named else [""] * len(rows), fontsize=8)
    axes.set_xlim(0, max(values) * 1.15)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
