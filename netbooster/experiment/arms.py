"""A recipe's one network, trained by the method that the recipe names.

The networks that it builds on (a teacher, the giant of a source data set) are recipes of their own.
They are trained first, in run folders beside this one, and found there by the next recipe that
needs them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.pipeline import contract_run, train_boosted, train_plain
from netbooster.experiment.recipe import Recipe
from netbooster.methods.config import BOOSTED, WITH_TEACHER
from netbooster.methods.prepare import folder_beside, teacher_of

if TYPE_CHECKING:
    from rich.console import Console


def train_method(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Train a recipe's network by its ``method``; resumes after a kill, skips what is finished.

    Under `torchrun` all processes call this; they share out each batch.

    Args:
        recipe: one with ``method``.
        run_dir: its run folder; recipes that it builds on get theirs beside.
        device: ``"cpu"`` or ``"cuda"``.
        console: where progress is shown; None is silent.

    Returns:
        ``contracted.pt`` in the arm's folder.

    Raises:
        NetBoosterError: the recipe names no method, a folder belongs to another recipe, the
            source's network does not fit, the loss is not finite, the disk is full, another
            process has died.
    """
    if recipe.method is None:
        raise NetBoosterError(f"recipe {recipe.name}: has no 'method'; set one, such as vanilla")
    if recipe.transfer is not None:
        source = recipe.transfer.source
        train = train_giant if recipe.method in BOOSTED else train_method
        train(source, folder_beside(run_dir, source), device=device, console=console)
    _train_teacher(recipe, run_dir, device=device, console=console)
    if recipe.method in BOOSTED:
        train_boosted(recipe, run_dir, device=device, console=console)
        return contract_run(recipe, run_dir, device=device, console=console)
    return train_plain(recipe, run_dir, device=device, console=console)


def train_giant(
    recipe: Recipe, run_dir: Path, *, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """Only the giant's phase of a recipe, for transfer; PLT can go on from it later.

    Returns:
        ``boosted/giant.pt``.
    """
    _train_teacher(recipe, run_dir, device=device, console=console)
    train_boosted(recipe, run_dir, device=device, console=console, giant_only=True)
    return run_dir / "boosted" / "giant.pt"


def _train_teacher(
    recipe: Recipe, run_dir: Path, *, device: str, console: "Console | None"
) -> None:
    if recipe.method in WITH_TEACHER:
        teacher = teacher_of(recipe)
        train_method(teacher, folder_beside(run_dir, teacher), device=device, console=console)
