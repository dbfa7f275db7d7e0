# SPDX-License-Identifier: Apache-2.0
"""Writing ``report.html``: one file that needs nothing beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import numpy as np

from deploy.core.errors import DeployError
from deploy.core.templates import template_set
from deploy.evidence.report import numbers
from deploy.evidence.report.budget_check import BudgetCheck, check_budget
from deploy.evidence.report.collect import RunData, collect_run, rerun_command
from deploy.evidence.report.curves import training_curves
from deploy.evidence.report.engines import engine_tables
from deploy.evidence.report.figures import COUNTING, accuracy_rows, alerts, exactness
from deploy.evidence.report.layers import layer_section
from deploy.evidence.report.sections import (
    board_answers,
    hash_rows,
    headline_figures,
    memory_section,
    quantization_notes,
    speed_rows,
    training_rows,
)
from netbooster.common.files import write_atomic

TEMPLATES = Path(__file__).resolve().parent / "templates"

SampleImage = tuple[bytes | np.ndarray, int | str]
"""A test image (PNG bytes, or uint8 [H, W], [C, H, W] or [H, W, C]) and its label."""


@dataclass(frozen=True)
class ReportResult:
    """What was written.

    ``verdict`` is True where the budget is kept and None where it could not be checked, because
    one of the models has not come that far. ``lines``: the verdict, then what needs attention.
    """

    path: Path
    verdict: bool | None
    lines: list[str]


def write_report(
    run_dir: Path,
    target: str,
    runs: Sequence[str] = (),
    *,
    selected: str = "",
    why: str = "",
    sample_images: Sequence[SampleImage] = (),
) -> ReportResult:
    """Write ``run_dir/report.html`` from what the stages left there.

    The page is written also when the run fails, so that it shows why. Equal inputs give equal
    bytes.

    Args:
        run_dir: a comparison, or one run.
        runs: folders in it that are set beside each other, the reference first; or one alone;
            empty: ``run_dir`` itself is the run.
        selected: the run that is put forward.
        why: what is said about it.
        target: which ``measurement-<target>.json`` to report.
        sample_images: the first test images in the data set's order, so that the k-th is the
            measurement's image with index k, each with its label.

    Raises:
        DeployError: nothing to report on, a file that cannot be understood; or, with the page
            written, the budget is broken or output bytes differ from the golden result.
    """
    run = collect_run(run_dir, target, runs, selected=selected, why=why)
    budget = check_budget(run)
    found = alerts(run, budget)
    path = run_dir / "report.html"
    write_atomic(path, render(run, budget, sample_images))
    severe = [alert.text for alert in found if alert.severe]
    if budget.broken:
        remedy = rerun_command("quantize", target, str(run_dir))
        raise DeployError(
            f"{path}: {budget.sentence} Quantize, compile and measure both models from the same "
            f"recipe again (start with `{remedy}`)"
        )
    if severe:
        raise DeployError(
            f"{path}: {' '.join(severe)} Run `{rerun_command('measure', target, str(run_dir))}` "
            "again; if it stays, this is a bug to report with model.tflite"
        )
    lines = [budget.sentence, *(alert.text for alert in found)]
    return ReportResult(path, budget.kept, lines)


def render(run: RunData, budget: BudgetCheck, sample_images: Sequence[SampleImage]) -> str:
    """The page as a string.

    Raises:
        DeployError: a sample image is no image, or its label is not the measured one.
    """
    measured = [model.measurement for model in run.models if model.measurement]
    counting = {item.counting: None for item in measured}
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            run=run,
            primary=run.contender if not run.contender.empty else run.reference,
            budget=budget,
            alerts=alerts(run, budget),
            headline=headline_figures(run),
            accuracy=accuracy_rows(run),
            quantization=quantization_notes(run),
            speed=speed_rows(run),
            layers=layer_section(run),
            memory=memory_section(run),
            engines=engine_tables(run),
            curves=training_curves(run),
            training=training_rows(run),
            answers=board_answers(run, sample_images),
            measured=measured,
            toolchains=_toolchains(run),
            counting=[
                COUNTING.get(method, (method, "This report does not know this method of counting."))
                for method in counting
            ],
            exactness=[exactness(model) for model in run.models if model.measurement],
            hashes=hash_rows(run),
        )
    )


@cache
def _templates() -> jinja2.Environment:
    names = (
        "count", "signed", "signed_percent", "accuracy", "points", "kilobytes", "milliseconds",
    )  # fmt: skip
    return template_set(TEMPLATES, {name: getattr(numbers, name) for name in names})


def _toolchains(run: RunData) -> list[tuple[str, list[tuple[str, str]]]]:
    """(which models, rows of name and value); one entry if both were made by the same tools."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for model in run.models:
        if model.measurement:
            tools = model.measurement.toolchain
            rows = (
                ("Compiler", tools.compiler),
                ("Flags", tools.flags),
                ("Emulator", tools.emulator or "none"),
                ("Engine", model.measurement.engine),
            )
            groups.setdefault(rows, []).append(model.name)
    return [(" and ".join(names), list(rows)) for rows, names in groups.items()]
