# SPDX-License-Identifier: Apache-2.0
"""Training curves: from the lines of ``metrics.jsonl`` to series over optimizer steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from deploy.evidence.report.charts import LineChart, Series, line_chart
from deploy.evidence.report.collect import RunData
from deploy.evidence.report.schema import MetricPoint

MAX_POINTS = 240  # a curve on 400 pixels gains nothing from more
_NAMES = {"giant": "giant", "plt": "PLT"}  # other phases have their run's name


@dataclass(frozen=True)
class Curves:
    """The charts of a run; ``note`` says what was averaged or left out."""

    charts: list[LineChart]
    note: str


def training_curves(run: RunData) -> Curves:
    """Loss, accuracy and alpha over optimizer steps, PLT continuing where the giant stopped."""
    points = [*run.reference.metrics, *run.contender.metrics]
    curves = _phases(run)
    giant, plt = (
        [item for item in run.contender.metrics if item.phase == phase] for phase in _NAMES
    )
    offset = _plt_offset(run, giant, plt)
    notes: dict[str, None] = {}

    def series(
        key: str, suffix: str = "", *, scale: float = 1.0, extra: str = "", markers: bool = False
    ) -> list[Series]:
        found = []
        for name, style, metrics in curves:
            shift = offset if name == _NAMES["plt"] else 0
            values = _points(metrics, lambda item: getattr(item, key), shift, scale, notes)
            found.append(Series(f"{name}{suffix}", f"{style} {extra}".strip(), values, markers))
        return found

    axis = "optimizer steps"
    loss = series("loss")
    values = [value for item in loss for _, value in item.points]
    marks = [(offset or giant[-1].step, "PLT starts")] if giant and plt else []
    accuracy = [
        *series("accuracy", ", training", scale=100, extra="faint"),
        *series("val_accuracy", ", validation", scale=100, markers=True),
    ]
    alpha = [item for item in series("alpha") if item.name == "PLT"]
    drawn = [
        line_chart(
            "Loss",
            loss,
            x_label=axis,
            y_label="training loss",
            y_range=(0, max(values, default=1.0)),
            marks=marks,
        ),
        line_chart(
            "Accuracy",
            accuracy,
            x_label=axis,
            y_label="accuracy (%)",
            y_range=(0, 100),
            marks=marks,
        ),
        line_chart(
            "Linearization",
            [Series("alpha", item.style, item.points) for item in alpha],
            x_label=axis,
            y_label="alpha (0 = activation, 1 = identity)",
            y_range=(0, 1),
            marks=marks,
        ),
        line_chart(
            "Learning rate",
            series("lr"),
            x_label=axis,
            y_label="learning rate",
            y_range=(0, max((item.lr for item in points if item.lr is not None), default=1.0)),
            marks=marks,
        ),
    ]
    return Curves([chart for chart in drawn if chart], " ".join(notes))


def _phases(run: RunData) -> list[tuple[str, str, list[MetricPoint]]]:
    """Name, style and lines of each phase of both runs, in the order of training."""
    found = []
    for model, own in ((run.reference, "reference"), (run.contender, "contender")):
        phases = dict.fromkeys(item.phase for item in model.metrics)
        for phase in phases:
            style = "giant" if phase == "giant" else own
            lines = [item for item in model.metrics if item.phase == phase]
            found.append((_NAMES.get(phase, model.name), style, lines))
    return found


def _plt_offset(run: RunData, giant: list[MetricPoint], plt: list[MetricPoint]) -> int:
    """Where PLT starts on the common axis: 0 if its own steps already continue the giant's."""
    if not giant or not plt:
        return 0
    last = giant[-1].step
    if plt[0].step > last:
        return 0
    summary = run.contender.summary
    return max(last, summary.steps.get("giant", 0) if summary else 0)


def _points(
    metrics: list[MetricPoint],
    value: Callable[[MetricPoint], float | None],
    shift: int,
    scale: float,
    notes: dict[str, None],
) -> list[tuple[float, float]]:
    known = [(item.step + shift, value(item)) for item in metrics]
    numbers = [(step, number * scale) for step, number in known if number is not None]
    finite = [(float(step), number) for step, number in numbers if math.isfinite(number)]
    if len(finite) < len(numbers):
        notes["Values that are not finite numbers are left out."] = None
    group = math.ceil(len(finite) / MAX_POINTS) or 1
    if group == 1:
        return finite
    notes[f"Long curves show the mean of every {group} logged values."] = None
    chunks = [finite[start : start + group] for start in range(0, len(finite), group)]
    return [
        (sum(x for x, _ in chunk) / len(chunk), sum(y for _, y in chunk) / len(chunk))
        for chunk in chunks
    ]
