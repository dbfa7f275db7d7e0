# SPDX-License-Identifier: Apache-2.0
"""The key figures of a run, derived once for the page and the terminal."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from deploy.evidence.measurement import Measurement
from deploy.evidence.report import numbers
from deploy.evidence.report.budget_check import BudgetCheck, incomparable
from deploy.evidence.report.collect import ModelRun, RunData

_Value = TypeVar("_Value")
INT8_DROP_POINTS = 1.0
CONTRACTION_LIMIT = 1e-4
COUNTING = {
    "qemu-tcg-plugin": (
        "QEMU TCG plugin",
        "A plugin counts every executed guest instruction between the start and the end of one "
        "inference and attributes it to a layer by its address. The count is exact and repeats "
        "to the instruction.",
    ),
    "icount-systick": (
        "QEMU -icount with SysTick (coarser)",
        "The counting plugin was not usable here. SysTick runs on QEMU's instruction clock, so "
        "these counts carry the timer's resolution and the reading code. They are coarser than "
        "the plugin's and must not be compared with them.",
    ),
    "renode-executed-instructions": (
        "Renode's count of executed instructions",
        "Renode's own counter, read at two marks in the firmware by watchpoints, in the "
        "instruction that ends a block: it is exact. There are no counts by layer and no cycles.",
    ),
    "dwt": (
        "Cycle counter of the board (DWT)",
        "Cycles are measured on the board, by the core's own counter; instructions are unknown.",
    ),
    "host clock": (
        "This machine's clock",
        "The firmware's harness ran as a program of this machine: its time is no board's.",
    ),
    "not timed": (
        "Nothing was timed",
        "The answers came over a socket or a pseudo-terminal, where no board can be.",
    ),
}


@dataclass(frozen=True)
class AccuracyRow:
    """One line of the accuracy table; accuracies are fractions, None = not known."""

    name: str
    style: str
    train: float | None
    val: float | None
    test: float | None
    from_float: float | None = None
    from_reference: float | None = None
    images: int | None = None

    @property
    def interval(self) -> str:
        """The 95% interval (Wilson) of the test accuracy alone."""
        if self.test is None or not self.images:
            return "–"
        low, high = wilson(self.test, self.images)
        return f"{100 * low:.1f} to {100 * high:.1f}"


@dataclass(frozen=True)
class Alert:
    """Something that a reader must not overlook; ``severe`` ones make the run fail."""

    text: str
    severe: bool = False


@dataclass(frozen=True)
class KeyFigure:
    """One measured quantity of both models, as text."""

    name: str
    reference: str
    contender: str
    difference: str


def wilson(fraction: float, images: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of ``fraction`` right answers among ``images``."""
    centre = fraction + z * z / (2 * images)
    spread = z * math.sqrt(fraction * (1 - fraction) / images + z * z / (4 * images * images))
    scale = 1 + z * z / images
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def accuracy_rows(run: RunData) -> list[AccuracyRow]:
    """Of the reference float and int8, the giant's, of the contender both, with differences."""
    reference, contender = run.reference, run.contender
    v_float, v_int8 = _float_test(reference), _int8_test(reference)
    b_float, b_int8 = _float_test(contender), _int8_test(contender)
    rows = [
        _float_row(f"{reference.name}, float", "reference", reference, v_float, None),
        _int8_row(reference, "reference", v_int8, v_float, None),
    ]
    giant = contender.summary.giant_accuracy if contender.summary else None
    if giant:
        rows.append(
            AccuracyRow(
                "giant, float", "giant", giant.train, giant.val,
                giant.test, None, _minus(giant.test, v_float), _images(contender),
            )
        )  # fmt: skip
    own = f"{contender.name}, float" + (" (contracted)" if giant else "")
    rows.append(_float_row(own, "contender", contender, b_float, v_float))
    rows.append(_int8_row(contender, "contender", b_int8, b_float, v_int8))
    return [row for row in rows if (row.train, row.val, row.test) != (None, None, None)]


def _float_row(
    name: str, style: str, run: ModelRun, test: float | None, reference: float | None
) -> AccuracyRow:
    known = run.summary.accuracy if run.summary else None
    return AccuracyRow(
        name,
        style,
        known.train if known else None,
        known.val if known else None,
        test,
        None,
        _minus(test, reference),
        _images(run),
    )


def _int8_row(
    run: ModelRun, style: str, test: float | None, own: float | None, reference: float | None
) -> AccuracyRow:
    return AccuracyRow(
        f"{run.name}, int8",
        style,
        None,
        None,
        test,
        _minus(test, own),
        _minus(test, reference),
        _images(run),
    )


def _float_test(run: ModelRun) -> float | None:
    """Float accuracy on the images that the int8 model was tested on, if known."""
    if run.card and run.card.accuracy.float_test is not None:
        return run.card.accuracy.float_test
    return run.summary.accuracy.test if run.summary else None


def _int8_test(run: ModelRun) -> float | None:
    return run.card.accuracy.int8_test if run.card else None


def _images(run: ModelRun) -> int | None:
    return run.card.accuracy.test_images if run.card else None


def _minus(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference


def exactness(run: ModelRun) -> tuple[str, bool]:
    """The statement on byte equality of one measured model, and whether it is broken."""
    measured = run.measurement
    if measured is None:
        return "", False
    images, exact = len(measured.images), measured.exact
    against = {"the TFLM interpreter": exact.tflm, "the host build of the same C": exact.host}
    reason = exact.reason or "no reason was recorded"
    wrong = [name for name, equal in against.items() if equal is False]
    if wrong:
        return (
            f"{run.name}: output bytes DIFFER from {' and '.join(wrong)} on {images} images "
            f"({reason}).",
            True,
        )
    equal = [name for name, same in against.items() if same]
    text = f"{run.name}: "
    if equal:
        text += (
            f"every output byte of the firmware equals {' and '.join(equal)} on {images} "
            "test images"
        )
    short = {"the TFLM interpreter": "TFLM", "the host build of the same C": "the host build"}
    unknown = [short[name] for name, same in against.items() if same is None]
    if unknown:
        text += f"{'; ' if equal else ''}not compared with {' and '.join(unknown)}: {reason}"
    return text + ".", False


def alerts(run: RunData, budget: BudgetCheck) -> list[Alert]:
    """All that deserves attention, severe first."""
    found = []
    for model in run.models:
        statement, broken = exactness(model)
        if broken:
            found.append(Alert(statement, severe=True))
    error = run.contender.summary.contraction_error if run.contender.summary else None
    if error is not None and not error <= CONTRACTION_LIMIT:
        found.append(
            Alert(
                f"The contracted network differs from the linearized giant by {error:.1e} "
                f"relative; at most {CONTRACTION_LIMIT:.0e} is rounding.",
                severe=True,
            )
        )
    for row in budget.flagged:
        found.append(
            Alert(
                f"{row.quantity}: {row.names[1]} differs from {row.names[0]} by "
                f"{numbers.signed_percent(row.percent)}, more than 1%. "
                f"Cause: {row.cause or 'not determined'}."
            )
        )
    for row_ in accuracy_rows(run):
        if row_.from_float is not None and 100 * row_.from_float < -INT8_DROP_POINTS - 1e-9:
            found.append(
                Alert(f"{row_.name} loses {-100 * row_.from_float:.2f} points against float.")
            )
    found.extend(_measurement_alerts(run))
    return found


def _measurement_alerts(run: RunData) -> list[Alert]:
    found = []
    for model in run.models:
        measured = model.measurement
        if measured is None:
            continue
        if measured.counting == "icount-systick":
            found.append(
                Alert(
                    f"{model.name}: instructions were counted by -icount and SysTick, coarser "
                    "than the counting plugin."
                )
            )
        if model.plan and model.plan.arena_bytes != measured.ram.arena:
            found.append(
                Alert(
                    f"{model.name}: the firmware reports an arena of {measured.ram.arena:,} "
                    f"bytes, the plan says {model.plan.arena_bytes:,}."
                )
            )
    before, after = run.reference.measurement, run.contender.measurement
    if before and after and incomparable(before, after):
        found.append(
            Alert(
                f"{run.reference.name.capitalize()} and {run.contender.name} are not comparable: "
                f"{incomparable(before, after)}."
            )
        )
    return found


def key_figures(run: RunData) -> list[KeyFigure]:
    """The figures of the terminal's table: accuracy, size, work and memory of both models."""

    def pair(value: Callable[[ModelRun], _Value]) -> tuple[_Value, _Value]:
        return value(run.reference), value(run.contender)

    def summary(key: str) -> tuple[int | None, int | None]:
        return pair(lambda model: getattr(model.summary, key, None))

    def measured(key: str, part: str = "") -> tuple[int | None, int | None]:
        def value(model: ModelRun) -> int | None:
            source = getattr(model.measurement, part, None) if part else model.measurement
            return getattr(source, key, None)

        return pair(value)

    figures = [
        _accuracy_figure("Test accuracy, float", *pair(_float_test)),
        _accuracy_figure("Test accuracy, int8", *pair(_int8_test)),
        _count_figure("Parameters", *summary("parameters")),
        _count_figure("MACs", *summary("macs")),
        _count_figure("Planned RAM, bytes", *pair(lambda m: getattr(m.plan, "arena_bytes", None))),
        _count_figure("RAM in all, bytes", *measured("total", "ram")),
        _count_figure("Stack, bytes", *measured("stack", "ram")),
        _count_figure("Flatbuffer, bytes", *pair(lambda model: model.tflite_bytes)),
        _count_figure("Flash, bytes", *measured("total", "flash")),
        _count_figure("Instructions", *measured("instructions")),
        _count_figure("Cycles, estimated", *measured("cycles_estimated")),
        _count_figure("Cycles, measured", *measured("cycles_measured")),
        _text_figure(
            f"Latency, estimated{_clocks(run)}", *pair(lambda model: _latency(model.measurement))
        ),
        _text_figure("Board answers right", *pair(lambda model: _answers(model.measurement))),
    ]
    return [item for item in figures if (item.reference, item.contender) != ("–", "–")]


def _text_figure(name: str, reference: str, contender: str) -> KeyFigure:
    return KeyFigure(name, reference, contender, "")


def _accuracy_figure(name: str, reference: float | None, contender: float | None) -> KeyFigure:
    difference = _minus(contender, reference)
    text = "" if difference is None else f"{numbers.points(difference)} points"
    return KeyFigure(name, numbers.accuracy(reference), numbers.accuracy(contender), text)


def _count_figure(name: str, reference: int | None, contender: int | None) -> KeyFigure:
    text = ""
    if reference is not None and contender is not None:
        change = contender - reference
        text = numbers.signed(change)
        if change and reference:
            text += f" ({numbers.signed_percent(100 * change / reference)})"
    return KeyFigure(name, numbers.count(reference), numbers.count(contender), text)


def _latency(measured: Measurement | None) -> str:
    if measured is None or measured.latency_estimated_ms is None:
        return "–"
    return numbers.milliseconds(measured.latency_estimated_ms)


def _clocks(run: RunData) -> str:
    clocks = {m.measurement.clock_hz: None for m in run.models if m.measurement}
    return "".join(f", {numbers.clock(hertz)}" for hertz in clocks)


def _answers(measured: Measurement | None) -> str:
    if measured is None or not measured.images:
        return "–"
    right = sum(image.label == image.prediction for image in measured.images)
    return f"{right} of {len(measured.images)}"
