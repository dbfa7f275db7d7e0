# SPDX-License-Identifier: Apache-2.0
"""The models beside the same models in TensorFlow Lite Micro's interpreter, on one target."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.evidence.measurement import Measurement
from deploy.evidence.report import numbers
from deploy.evidence.report.budget_check import incomparable
from deploy.evidence.report.collect import RunData


@dataclass(frozen=True)
class EngineTable:
    """One model in both engines.

    Attributes:
        rows: quantity, ours, the interpreter's, and how many times ours that is.
        compilers: compiler and flags of both.
        warning: what else than the engine differs; empty where nothing does.
    """

    model: str
    rows: list[tuple[str, str, str, str]]
    compilers: tuple[str, str]
    library: str
    warning: str


_COUNTS: tuple[tuple[str, Callable[[Measurement], int | None]], ...] = (
    ("Instructions", lambda item: item.instructions),
    ("Cycles, estimated", lambda item: item.cycles_estimated),
    ("Cycles, measured", lambda item: item.cycles_measured),
    ("RAM in all, bytes", lambda item: item.ram.total),
    ("of these arena", lambda item: item.ram.arena),
    ("of these stack", lambda item: item.ram.stack),
    ("Flash in all, bytes", lambda item: item.flash.total),
    ("of these code", lambda item: item.flash.code),
    ("of these weights or flatbuffer", lambda item: item.flash.weights),
)


def engine_tables(run: RunData) -> list[EngineTable]:
    """A table for each model that was measured with both engines."""
    return [
        _table(model.name, model.measurement, model.tflm)
        for model in run.models
        if model.measurement and model.tflm
    ]


def _table(name: str, ours: Measurement, other: Measurement) -> EngineTable:
    rows = []
    for quantity, value in _COUNTS:
        mine, theirs = value(ours), value(other)
        if mine is None and theirs is None:
            continue
        times = f"{theirs / mine:.2f}" if mine and theirs is not None else "–"
        rows.append((quantity, numbers.count(mine), numbers.count(theirs), times))
    rows.append(("Test images right", _right(ours), _right(other), ""))
    rows.append(("Bytes equal to the host build", _equal(ours), _equal(other), ""))
    conditions = ours.model_copy(update={"engine": other.engine})
    differing = incomparable(conditions, other)
    return EngineTable(
        name,
        rows,
        (_tools(ours), _tools(other)),
        other.hashes.get("library") or "–",
        f"Not comparable: {differing}." if differing else "",
    )


def _right(item: Measurement) -> str:
    right = sum(image.label == image.prediction for image in item.images)
    return f"{right} of {len(item.images)}"


def _equal(item: Measurement) -> str:
    if item.exact.host is None:
        return "not compared"
    return "all" if item.exact.host else f"no: {item.exact.reason or 'no reason was recorded'}"


def _tools(item: Measurement) -> str:
    return f"{item.toolchain.compiler}, {item.toolchain.flags}"
