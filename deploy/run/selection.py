# SPDX-License-Identifier: Apache-2.0
"""Which run of a comparison is put forward, and why."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.core.errors import DeployError
from deploy.core.stamps import hash_files
from netbooster.common.files import read_bytes, write_atomic

SELECTED = "selected"
"""The folder in a comparison that holds what is put forward."""
_FILE = "selection.json"
_COPIED = (
    "recipe.toml", "contracted.pt", "summary.json", "model.tflite", "model.json", "generated",
    "model-host.so", "firmware-*.elf", "build-*.json", "measurement-*.json",
)  # fmt: skip


@dataclass(frozen=True)
class Score:
    """What a run's float network scored.

    Attributes:
        method: by which it was trained; its folder in the comparison has this name.
        val, test: accuracies on the validation and test images, 0..1.
    """

    method: str
    val: float
    test: float


@dataclass(frozen=True)
class Selection:
    """A choice by validation accuracy; the test images have no part in it.

    Attributes:
        method: of the run that is put forward.
        why: one sentence.
        runs: all runs in the order in which they were named.
    """

    method: str
    why: str
    runs: tuple[Score, ...]

    @property
    def beside_each_other(self) -> tuple[str, ...]:
        """What a report shows: the first run, and the best of the others where there are any."""
        first, *others = self.runs
        best = [max(others, key=lambda score: score.val).method] if others else []
        return (first.method, *best)


def select(scores: Sequence[Score]) -> Selection:
    """The run with the highest validation accuracy; at a tie the one named first."""
    best = max(scores, key=lambda score: score.val)
    others = [score for score in scores if score is not best]
    why = f"validation accuracy {best.val:.2%}"
    if not others:
        why += ", the only run"
    elif any(score.val == best.val for score in others):
        why += ", as high as any other's, and named first"
    else:
        against = ", ".join(f"{score.val:.2%} of {score.method}" for score in others)
        why += f" against {against}"
    return Selection(best.method, why, tuple(scores))


def read_selection(folder: Path) -> Selection | None:
    """The selection of a comparison; None where there is none.

    Raises:
        DeployError: the file is damaged.
    """
    path = folder / SELECTED / _FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(read_bytes(path))
        scores = tuple(
            Score(str(own["method"]), float(own["val"]), float(own["test"]))
            for own in content["runs"]
        )
        selection = Selection(str(content["method"]), str(content["why"]), scores)
        names = [score.method for score in scores]
        if selection.method not in names or any(Path(name).name != name for name in names):
            raise ValueError("the selected method is none of the runs")
        return selection
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{path} is damaged; run `netbooster run` again") from error


def write_selection(folder: Path, selection: Selection) -> None:
    """Write ``selected/selection.json``."""
    content = {"format": 1, **asdict(selection)}
    write_atomic(folder / SELECTED / _FILE, json.dumps(content, indent=1) + "\n")


def copy_selected(folder: Path) -> None:
    """Bring ``selected/`` of a comparison to what its run holds; does nothing for a single run.

    Raises:
        DeployError: the folder cannot be written.
    """
    selection = read_selection(folder)
    if selection is None:
        return
    source, target = folder / selection.method, folder / SELECTED
    for pattern in _COPIED:
        for path in sorted(source.glob(pattern)):
            copy = target / path.name
            if path.is_dir():
                _copy_folder(path, copy)
            elif not (copy.is_file() and copy.read_bytes() == path.read_bytes()):
                write_atomic(copy, path.read_bytes())


def _copy_folder(source: Path, target: Path) -> None:
    if target.is_dir() and hash_files([target]) == hash_files([source]):
        return
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        write_atomic(target / path.relative_to(source), path.read_bytes())
