# SPDX-License-Identifier: Apache-2.0
"""Geometry of the report's charts; the SVG itself is drawn by ``templates/charts.svg.j2``.

Charts are inline SVG whose colours are CSS variables, so that they follow the page into dark mode
and onto paper. Coordinates are rounded to a tenth of a pixel: equal data gives equal bytes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LINE_WIDTH, LINE_HEIGHT = 460, 270
COLUMN_WIDTH, COLUMN_HEIGHT = 940, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 22, 44


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in pixels."""

    position: float
    label: str


@dataclass(frozen=True)
class Series:
    """One curve in data units; ``style`` is a CSS class of the page's palette."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    markers: bool = False


@dataclass(frozen=True)
class DrawnSeries:
    """One curve in pixels: an SVG path and its markers."""

    name: str
    style: str
    path: str
    markers: list[tuple[float, float]]


@dataclass(frozen=True)
class Frame:
    """The plotting area of a chart in pixels, its ticks and axis labels."""

    width: int
    height: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_label: str
    y_label: str
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


@dataclass(frozen=True)
class LineChart:
    """Curves over a common axis; ``marks`` are labelled vertical lines."""

    title: str
    frame: Frame
    series: list[DrawnSeries]
    marks: list[Tick] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """One column in pixels, its tooltip, and the height of the reference line across it."""

    x: float
    y: float
    width: float
    height: float
    style: str
    tooltip: str
    reference: float | None = None


@dataclass(frozen=True)
class ColumnChart:
    """One column a layer; ``legend`` lists (name, style)."""

    title: str
    frame: Frame
    columns: list[Column]
    legend: list[tuple[str, str]]


@dataclass(frozen=True)
class BarPart:
    """One part of a stacked bar; ``percent`` of the widest bar."""

    name: str
    style: str
    value: int
    percent: float
    label: str


@dataclass(frozen=True)
class StackedBar:
    """A bar of parts."""

    name: str
    parts: list[BarPart]
    total: int


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover ``low`` to ``high``."""
    span = high - low
    if not math.isfinite(span) or span < 1e-100:
        span = max(abs(high), 1.0)
    rough = span / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * 1.0001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Evenly spaced ticks with equal decimals; from 10,000 on in thousands (k) or millions (M)."""
    largest = max(abs(value) for value in values)
    size, suffix = 1.0, ""
    if largest >= 1e6:
        size, suffix = 1e6, " M"
    elif largest >= 1e4:
        size, suffix = 1e3, " k"
    step = (values[1] - values[0]) / size
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value / size:,.{decimals}f}{suffix if value else ''}" for value in values]


def line_chart(
    title: str,
    series: Iterable[Series],
    *,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    marks: Iterable[tuple[float, str]] = (),
) -> LineChart | None:
    """Curves over steps (0 and more); None without points. ``y_range`` is what y must cover."""
    kept = [item for item in series if item.points]
    if not kept:
        return None
    xs = [x for item in kept for x, _ in item.points]
    ys = [y for item in kept for _, y in item.points]
    low, high = (min(ys), max(ys)) if y_range is None else y_range
    x_high = max(*xs, 1.0)
    x_values, y_values = nice_ticks(0, x_high), nice_ticks(low, high)
    x_scale = _Scale(0, x_high, LEFT, LINE_WIDTH - RIGHT)
    y_scale = _Scale(y_values[0], y_values[-1], LINE_HEIGHT - BOTTOM, TOP)
    frame = Frame(
        LINE_WIDTH,
        LINE_HEIGHT,
        _ticks([value for value in x_values if value <= x_high], x_scale),
        _ticks(y_values, y_scale),
        x_label,
        y_label,
    )
    drawn = []
    for item in kept:
        pixels = [(x_scale(x), y_scale(y)) for x, y in item.points]
        path = "M" + "L".join(f"{x:g},{y:g}" for x, y in pixels)
        show = item.markers or len(pixels) == 1
        drawn.append(DrawnSeries(item.name, item.style, path, pixels if show else []))
    return LineChart(title, frame, drawn, [Tick(x_scale(x), label) for x, label in marks])


def column_chart(
    title: str,
    values: Sequence[float],
    *,
    styles: Sequence[str],
    tooltips: Sequence[str],
    references: Sequence[float | None],
    legend: list[tuple[str, str]],
    x_label: str,
    y_label: str,
) -> ColumnChart | None:
    """One column a value from 0 up, with a reference line across it where there is one."""
    if not values:
        return None
    known = [*values, *(value for value in references if value is not None)]
    y_values = nice_ticks(0, max(known) or 1.0, 4)
    y_scale = _Scale(0, y_values[-1], COLUMN_HEIGHT - BOTTOM, TOP)
    pitch = (COLUMN_WIDTH - LEFT - RIGHT) / len(values)
    width = min(round(0.78 * pitch, 1), 40.0)
    columns = []
    for index, value in enumerate(values):
        reference = references[index]
        top = y_scale(value)
        columns.append(
            Column(
                x=round(LEFT + pitch * (index + 0.5) - width / 2, 1),
                y=top,
                width=width,
                height=round(COLUMN_HEIGHT - BOTTOM - top, 1),
                style=styles[index],
                tooltip=tooltips[index],
                reference=None if reference is None else y_scale(reference),
            )
        )
    every = max(1, math.ceil(len(values) / 24))
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000, 10**6) if step >= every)
    x_ticks = [
        Tick(round(LEFT + pitch * (index + 0.5), 1), str(index))
        for index in range(0, len(values), every)
    ]
    frame = Frame(COLUMN_WIDTH, COLUMN_HEIGHT, x_ticks, _ticks(y_values, y_scale), x_label, y_label)
    return ColumnChart(title, frame, columns, legend)


def stacked_bars(bars: Sequence[tuple[str, Sequence[tuple[str, str, int]]]]) -> list[StackedBar]:
    """Bars of (name, style, value) parts on a common scale; parts of size zero are left out."""
    totals = [sum(value for _, _, value in parts) for _, parts in bars]
    widest = max(totals, default=0) or 1
    drawn = []
    for (name, parts), total in zip(bars, totals, strict=True):
        segments = [
            BarPart(
                part,
                style,
                value,
                round(100 * value / widest, 2),
                f"{name}, {part}: {value:,} bytes ({100 * value / (total or 1):.1f}%)",
            )
            for part, style, value in parts
            if value
        ]
        drawn.append(StackedBar(name, segments, total))
    return drawn


class _Scale:
    """A linear map from data to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.start = low, start
        self.factor = (end - start) / ((high - low) or 1.0)

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) * self.factor, 1)


def _ticks(values: Sequence[float], scale: _Scale) -> list[Tick]:
    labels = tick_labels(values)
    return [Tick(scale(value), label) for value, label in zip(values, labels, strict=True)]
