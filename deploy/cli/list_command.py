# SPDX-License-Identifier: Apache-2.0
"""`netbooster list`: networks, boards, recipes, pretrained starts."""

from enum import StrEnum
from typing import Annotated

import typer

from deploy.cli.console import console, new_table, say

NO_ARGS_IS_HELP = True


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    TARGETS = "targets"
    RECIPES = "recipes"
    WEIGHTS = "weights"


def command(
    what: Annotated[Kind, typer.Argument(metavar="models|targets|recipes|weights")],
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", "-r", help="Of models. Default: the network's own."),
    ] = None,
    classes: Annotated[int, typer.Option("--classes", "-c", min=1, help="Of models.")] = 1000,
    channels: Annotated[
        int, typer.Option(min=1, max=3, help="Of models: 1 (grey) or 3 (RGB).")
    ] = 3,
) -> None:
    """List networks with their budgets, boards and emulated machines, recipes, or weights.

    Budgets are parameters, MACs and peak activation bytes (int8, layer by layer).
    """
    if what is Kind.MODELS:
        _models(resolution, classes, channels)
    elif what is Kind.TARGETS:
        _targets()
    elif what is Kind.RECIPES:
        _recipes()
    else:
        say("weights", "no pretrained weights come with NetBooster: networks start from their seed")


def _models(resolution: int | None, classes: int, channels: int) -> None:
    from netbooster.common.budget import measure_budget
    from netbooster.models import build_model, model_info, model_names

    table = new_table(
        f"Networks with {classes} classes",
        *("name", ">resolution", ">MACs", ">parameters", ">without BN", ">peak activations"),
        wrap="description",
    )
    for name in model_names():
        info = model_info(name)
        size = resolution or info.default_resolution
        model = build_model(name, num_classes=classes, resolution=size, channels=channels)
        budget = measure_budget(model, (1, channels, size, size))
        table.add_row(
            name,
            str(size),
            f"{budget.macs:,}",
            f"{budget.parameters:,}",
            f"{budget.parameters - budget.bn_parameters:,}",
            f"{budget.peak_activation_bytes:,} B",
            info.description,
        )
    console.print(table)


def _targets() -> None:
    from deploy.targets import load_target, target_names

    table = new_table(
        "Targets", "name", "core", ">clock", ">flash", ">RAM", "emulator", wrap="description"
    )
    for name in target_names():
        table.add_row(*load_target(name).table_row())
    console.print(table)


def _recipes() -> None:
    from netbooster.experiment.table_rows import list_recipes

    table = new_table("Recipes; rows of a table small, too: NAME@mini", "name", wrap="what")
    for recipe in list_recipes():
        table.add_row(recipe.name, recipe.title)
    console.print(table)
