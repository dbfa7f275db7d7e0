# SPDX-License-Identifier: Apache-2.0
"""Options with which every command that trains changes its recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from netbooster.experiment.recipe import Recipe

RECIPE_HELP = (
    "Path of a recipe file, name of a committed recipe (netbooster list recipes: digits, "
    "table1/mobilenetv2-tiny-vanilla), with @mini a row's small variant."
)
RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the recipe, or of one inside it: train.steps=200, "
        "transfer.source.train.epochs=3. Repeatable.",
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of the recipe and of those inside it."),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="NAME=PATH",
        help="Where a data set lies, for the recipe and those inside it: "
        "cifar100=/data/cifar. Repeatable.",
    ),
]


def change_recipe(
    recipe: "Recipe", sets: Sequence[str] | None, seed: int | None, data: Sequence[str] | None
) -> "Recipe":
    """The recipe with what the options change: ``--set`` in order, then ``--seed`` and ``--data``.

    Raises:
        DeployError, NetBoosterError: one line naming the option or key and what is allowed.
    """
    if sets:
        recipe = recipe.override(sets)
    if seed is not None:
        recipe = recipe.with_seed(seed)
    return recipe.with_data(data_folders(data)) if data else recipe


def data_folders(data: Sequence[str] | None) -> dict[str, Path]:
    """What ``--data`` says: folders by data set.

    Raises:
        DeployError: not of the form ``NAME=PATH``, or no folder there.
    """
    folders = {}
    for text in data or ():
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise DeployError(f"--data {text}: write it as NAME=PATH, such as cifar100=/data/cifar")
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise DeployError(f"--data {text}: {folder} is not a folder; name one that is there")
        folders[name] = folder
    return folders
