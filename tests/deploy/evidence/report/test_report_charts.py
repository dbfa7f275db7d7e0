# SPDX-License-Identifier: Apache-2.0
"""Axes, curves and numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.evidence.report import charts, numbers
from deploy.evidence.report.charts import Series, column_chart, line_chart, nice_ticks, tick_labels
from deploy.evidence.report.collect import ModelRun, RunData
from deploy.evidence.report.curves import MAX_POINTS, training_curves
from deploy.evidence.report.figures import wilson
from deploy.evidence.report.schema import MetricPoint, Summary

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite, finite, st.integers(2, 10))
def test_ticks_cover_the_range_evenly_and_have_distinct_labels(
    first: float, second: float, wanted: int
) -> None:
    low, high = sorted((first, second))
    if high - low < 1e-6 * max(1.0, abs(high), abs(low)):
        high = low + 1e-6 * max(1.0, abs(low))
    ticks = nice_ticks(low, high, wanted)
    step = ticks[1] - ticks[0]
    slack = 1e-6 * step + 1e-9 * abs(low)
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert len(ticks) <= wanted + 2
    assert all(b - a == pytest.approx(step, rel=1e-6) for a, b in zip(ticks, ticks[1:]))  # noqa: B905
    if step > 1e-6 * abs(high):
        assert len(set(tick_labels(ticks))) == len(ticks)


@given(st.lists(st.tuples(st.floats(0, 1e6), finite), min_size=1, max_size=50))
def test_curves_stay_inside_the_frame(points: list[tuple[float, float]]) -> None:
    chart = line_chart("t", [Series("a", "vanilla", points, True)], x_label="x", y_label="y")
    assert chart is not None
    frame = chart.frame
    for x, y in chart.series[0].markers:
        assert frame.left <= x <= frame.width - frame.right
        assert frame.top - 0.1 <= y <= frame.height - frame.bottom + 0.1


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=150))
def test_columns_stand_on_the_axis_and_do_not_overlap(values: list[float]) -> None:
    count = len(values)
    chart = column_chart(
        "t",
        values,
        styles=["op-a"] * count,
        tooltips=[""] * count,
        references=[None] * count,
        legend=[],
        x_label="x",
        y_label="y",
    )
    assert chart is not None
    floor = chart.frame.height - chart.frame.bottom
    for column in chart.columns:
        assert column.y + column.height == pytest.approx(floor, abs=0.11)
        assert column.y >= chart.frame.top - 0.1
    for left, right in zip(chart.columns, chart.columns[1:]):  # noqa: B905
        assert left.x + left.width <= right.x + 0.11
    assert len(chart.frame.x_ticks) <= 25


def test_nothing_to_draw_is_no_chart() -> None:
    assert line_chart("t", [Series("a", "b", [])], x_label="x", y_label="y") is None


def test_stacked_bars_share_one_scale() -> None:
    bars = charts.stacked_bars(
        [("a", [("x", "s", 50), ("y", "s", 0)]), ("b", [("x", "s", 60), ("y", "s", 40)])]
    )
    assert [[part.percent for part in bar.parts] for bar in bars] == [[50.0], [60.0, 40.0]]
    assert [bar.total for bar in bars] == [50, 100]


def make_run(vanilla: list[MetricPoint], boosted: list[MetricPoint], giant: int) -> RunData:
    summary = Summary.model_validate(
        {
            "network": "n",
            "parameters": 1,
            "bn_parameters": 0,
            "macs": 1,
            "tensor_shapes": [],
            "state_shapes": [],
            "accuracy": {},
            "steps": {"giant": giant},
        }
    )
    runs = ModelRun("vanilla", metrics=vanilla), ModelRun("netbooster", summary, metrics=boosted)
    return RunData("n", "t", "", {}, *runs, [])


@pytest.mark.parametrize("first", [1, 101])
def test_plt_continues_where_the_giant_stopped(first: int) -> None:
    """Whether a trainer counts steps through or starts anew, PLT is drawn after the giant."""
    giant = [MetricPoint(phase="giant", step=step, loss=1.0) for step in range(1, 101)]
    plt = [MetricPoint(phase="plt", step=first + i, loss=1.0) for i in range(100)]
    chart = training_curves(make_run([], giant + plt, giant=100)).charts[0]
    giant_x, plt_x = (
        [float(pair.split(",")[0]) for pair in item.path[1:].split("L")] for item in chart.series
    )
    assert chart.marks[0].position == giant_x[-1] < plt_x[0]
    assert plt_x[-1] == chart.frame.width - chart.frame.right


def test_long_curves_are_averaged_and_say_so() -> None:
    points = [MetricPoint(phase="vanilla", step=i, loss=float(i % 2)) for i in range(1, 1001)]
    curves = training_curves(make_run(points, [], giant=0))
    assert curves.charts[0].series[0].path.count(",") <= MAX_POINTS
    assert curves.note == "Long curves show the mean of every 5 logged values."


def test_wilson_matches_the_published_example_and_holds_the_estimate() -> None:
    low, high = wilson(0.1, 20)  # 2 of 20, computed by hand
    assert (round(low, 3), round(high, 3)) == (0.028, 0.301)
    assert wilson(1.0, 10)[1] == 1.0
    assert wilson(0.0, 10)[0] == 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (0.0084, "+0.008%"), (-0.00004, "−0.00004%"), (1.5, "+1.50%"), (None, "–")],
)
def test_small_differences_never_read_as_zero(value: float | None, text: str) -> None:
    assert numbers.signed_percent(value) == text


@given(st.floats(-1, 1).filter(lambda x: x and abs(x) > 1e-300))
def test_signed_percent_keeps_the_sign_and_a_digit(value: float) -> None:
    text = numbers.signed_percent(value)
    assert text[0] == ("+" if value > 0 else numbers.MINUS)
    assert any(digit in text for digit in "123456789")
    assert math.isclose(float(text[1:-1]), abs(value), rel_tol=0.5)


def test_numbers() -> None:
    assert numbers.points(-0.00001) == "0.00"
    assert numbers.points(-0.0123) == "−1.23"
    assert numbers.millions(3_690_000) == "3.69 M"
    assert numbers.millions(12_500) == "12.5 k"
    assert numbers.milliseconds(147.6) == "148 ms"
    assert numbers.milliseconds(1476.2) == "1,476 ms"
