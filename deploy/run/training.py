# SPDX-License-Identifier: Apache-2.0
"""Training as a stage: what is told before it, and what is refused."""

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.selection import read_selection
from deploy.run.telling import Say, teller

if TYPE_CHECKING:
    from rich.console import Console

    from netbooster.experiment.recipe import Recipe

FEW_STEPS = 100


def tell_of_data(recipe: "Recipe", say: Say) -> None:
    """Load the data, so that bad data is told before the first step; warns of too few steps.

    Raises:
        NetBoosterError: the data cannot be read.
    """
    from netbooster.data import load_dataset

    dataset = load_dataset(recipe.data)
    sizes = {split: dataset.split_size(split) for split in ("train", "val", "test")}
    counts = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    say("data", f"{dataset.name}: {len(dataset.labels)} classes; images: {counts}")
    if dataset.test_is_val:
        say("data", "no test images of their own: what is called test are the validation images")
    images = sizes["train"]
    steps = recipe.total_steps(images)
    if steps < FEW_STEPS:
        say(
            "train",
            f"warning: only {steps} optimizer steps ({images:,} images in batches of "
            f"{recipe.train.batch_size}); some hundreds at least are needed: raise "
            "train.epochs, or lower train.batch_size",
        )


def train_run(
    recipe: "Recipe", folder: Path, device: str = "cpu", console: "Console | None" = None
) -> Path:
    """One run of one method; see :func:`netbooster.train`.

    Raises:
        NetBoosterError: see there.
        DeployError: ``folder`` is a comparison.
    """
    from netbooster.experiment.run import train

    if read_selection(folder) is not None:
        raise DeployError(
            f"{folder} is a comparison; train one of its runs, {folder}/METHOD, or choose another "
            "folder with --output"
        )
    return train(recipe, folder, device=device, console=console)


def train_one(
    recipe: "Recipe",
    folder: Path | None = None,
    *,
    method: str | None = None,
    device: str = "cpu",
    console: "Console | None" = None,
) -> Path:
    """What `netbooster train` does; under `torchrun` rank 0 alone speaks.

    Args:
        folder: of the run. Default: beside a comparison of the same recipe, not into it.
        method: default: the recipe's, else NetBooster.
    """
    from netbooster.training.distributed import is_writer

    say = teller(console if is_writer() else None)
    own = recipe.with_method(method)
    name = recipe.name if own.method == recipe.method else f"{recipe.name}-{own.method}"
    place = folder or Path("runs") / name
    tell_of_data(own, say)
    train_run(own, place, device, console)
    say("train", f"done; next: netbooster quantize {place}")
    return place
