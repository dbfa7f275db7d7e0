# SPDX-License-Identifier: Apache-2.0
"""The report of a run, and its key figures."""

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file
from deploy.run.folder import DEFAULT_TARGET, need, runs_in
from deploy.run.results import Report
from deploy.run.selection import read_selection

if TYPE_CHECKING:
    from rich.console import Console

SAMPLES = 12
_PREFIX = "measurement-"


def report(
    folder: str | Path, *, target: str | None = None, console: "Console | None" = None
) -> Report:
    """Write ``report.html``: accuracy, budget, instructions, memory, curves, answers.

    Args:
        folder: a comparison, or one run.
        target: which measurements to report. Default: of the one target that was measured.
        console: where the table of key figures is printed; None is silent.

    Raises:
        DeployError: a stage is missing, its files do not belong together, the budget is broken, or
            output bytes differ from the golden result.
    """
    from deploy.evidence.report import write_report
    from deploy.evidence.report.terminal import print_summary
    from deploy.run.model_io import test_batches
    from deploy.targets import load_target

    place = Path(folder)
    runs = runs_in(place)
    board = load_target(target or _measured_target([run.folder for run in runs]))
    for run in runs:
        if board.runs_here:  # of a board alone, the report says what is missing
            need(run.measurement(board.name), f"measure {place} --target {board.name}")
    pixels, _, labels = next(iter(test_batches(runs[0].dataset, limit=SAMPLES)))
    selection = read_selection(place)
    pair = () if selection is None else selection.beside_each_other
    result = write_report(
        place,
        board.name,
        pair,
        selected="" if selection is None else selection.method,
        why="" if selection is None else f"{selection.method}, {selection.why}",
        sample_images=list(zip(pixels[:SAMPLES], labels[:SAMPLES].tolist(), strict=True)),
    )
    if console is not None:
        print_summary(place, board.name, pair, console=console)
        console.print(f"report: {result.path}", markup=False)
    return Report(result.path, result.verdict, tuple(result.lines))


def _measured_target(folders: list[Path]) -> str:
    """The one target that all runs were measured on, with the flatbuffers that they have.

    Raises:
        DeployError: there are several.
    """
    found: dict[str, bool] = {}
    for folder in folders:
        for path in folder.glob(f"{_PREFIX}*.json"):
            target = path.stem.removeprefix(_PREFIX)
            if not target.endswith("-tflm"):
                found[target] = found.get(target, True) and _is_current(path)
    targets = {target for target, current in found.items() if current} or set(found)
    if DEFAULT_TARGET in targets or not targets:
        return DEFAULT_TARGET
    if len(targets) > 1:
        raise DeployError(f"measured on {', '.join(sorted(targets))}; choose one with --target")
    return targets.pop()


def _is_current(measurement: Path) -> bool:
    """Whether it is of the flatbuffer beside it; a damaged one is for the report to refuse."""
    from deploy.evidence.measurement import Measurement

    tflite = measurement.with_name("model.tflite")
    try:
        return Measurement.load(measurement).hashes.get("tflite") == hash_file(tflite)
    except (DeployError, OSError):
        return True
