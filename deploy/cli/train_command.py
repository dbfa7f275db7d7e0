# SPDX-License-Identifier: Apache-2.0
"""`netbooster train`: one network, by one method."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import console
from deploy.cli.options import DeviceOption
from deploy.cli.recipe_options import (
    DataOption,
    RecipeArgument,
    SeedOption,
    SetOption,
    change_recipe,
)

NO_ARGS_IS_HELP = True


def command(
    recipe: RecipeArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Run folder. Default: runs/NAME-METHOD, or runs/NAME "
            "where the recipe names its method.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="Default: the recipe's, else netbooster."),
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    data: DataOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Train a recipe's network by its method, to the network that is kept in the end.

    NetBooster trains a giant, linearizes it (PLT) and contracts it to the original layers. What a
    method builds on (a teacher, a source) is trained before, in run folders beside. Checkpoints are
    written on the way: after a kill the same command goes on from the last one. Metrics go to
    RUN/metrics.jsonl.

    On many GPUs: `torchrun --nproc-per-node 4 -m deploy.cli train RECIPE --device cuda`; the
    processes share out the recipe's batch.
    """
    from deploy.run.training import train_one
    from netbooster.experiment.recipe import load_recipe

    changed = change_recipe(load_recipe(recipe), sets, seed, data)
    train_one(changed, output, method=method, device=device, console=console)
