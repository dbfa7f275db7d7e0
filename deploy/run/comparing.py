# SPDX-License-Identifier: Apache-2.0
"""A comparison: one run a method in one folder, and the one that is put forward."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.selection import (
    SELECTED,
    Score,
    Selection,
    copy_selected,
    read_selection,
    select,
    write_selection,
)
from deploy.run.telling import teller
from deploy.run.training import tell_of_data, train_run

if TYPE_CHECKING:
    from rich.console import Console

    from netbooster.experiment.recipe import Recipe

_TRAINED = ("checkpoint.pt", "giant.pt", "contracted.pt", "metrics.jsonl", "finetuned.pt")


def methods_of(recipe: "Recipe", methods: Sequence[str] | None) -> tuple[str, ...]:
    """What a comparison compares: what is named, else the recipe's method, else the default two.

    Raises:
        NetBoosterError: there is no such method, or it cannot follow the recipe.
        DeployError: none is named.
    """
    from netbooster.methods import DEFAULT, Vanilla

    if methods is None:
        methods = [recipe.method] if recipe.method else [Vanilla.name, DEFAULT]
    names = tuple(dict.fromkeys(methods))
    if not names:
        raise DeployError("no method is named; name one at least, such as vanilla")
    for name in names:
        recipe.with_method(name)
    return names


def train_all(
    recipe: "Recipe",
    folder: Path,
    methods: Sequence[str],
    *,
    device: str = "cpu",
    console: "Console | None" = None,
) -> Selection:
    """Train a recipe by each method, as runs in ``folder``, and select one.

    Resumes after a kill, and skips what is finished.

    Raises:
        NetBoosterError: see :func:`netbooster.train`.
        DeployError: ``folder`` is a run itself.
    """
    from netbooster.experiment.recipe import save_recipe
    from netbooster.experiment.run import check_layout
    from netbooster.experiment.trained import load

    say = teller(console)
    check_layout(folder)
    if (folder / "checkpoint.pt").exists() or (folder / "contracted.pt").exists():
        raise DeployError(
            f"{folder} is one run, no comparison; choose another folder with --output, or go on "
            f"with it: netbooster quantize {folder}"
        )
    tell_of_data(recipe, say)
    scores = []
    for method in methods:
        run = train_run(recipe.with_method(method), folder / method, device, console)
        accuracy = load(run).accuracy
        scores.append(Score(method, accuracy["val"], accuracy["test"]))
    save_recipe(recipe, folder)
    selection = select(scores)
    if read_selection(folder) != selection:
        shutil.rmtree(folder / SELECTED, ignore_errors=True)
        write_selection(folder, selection)
    copy_selected(folder)
    say("select", f"{selection.method}: {selection.why}")
    return selection


def discard_training(folder: Path, methods: Sequence[str]) -> None:
    """Delete what training wrote, so that it starts anew."""
    for method in methods:
        for name in _TRAINED:
            (folder / method / name).unlink(missing_ok=True)
