# SPDX-License-Identifier: Apache-2.0
"""`netbooster run`: the whole job, images in, report out."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console
from deploy.cli.options import (
    DEFAULT_TARGET,
    DeviceOption,
    InputMode,
    InputOption,
    KeepDeadOption,
    RamOption,
    ScheduleName,
    ScheduleOption,
    TargetOption,
    WidenOption,
)
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
    target: TargetOption = DEFAULT_TARGET,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder. Default: runs/NAME, by the recipe's name."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Training methods to compare, separated by commas. Default: the recipe's, else "
            "vanilla,netbooster.",
        ),
    ] = None,
    start: Annotated[
        run.Stage | None,
        typer.Option("--from", help="Do this stage and all after it again; keep those before."),
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    data: DataOption = None,
    device: DeviceOption = "cpu",
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
) -> None:
    """Train by each method, select one, quantize, compile, build, measure and report.

    Each method's network is a run of its own, RUN/METHOD; RUN/selected holds what is put forward,
    by validation accuracy. Stages whose inputs have not changed since they were done are skipped;
    after a kill the same command goes on from where it stopped. `--from quantize` repeats quantize
    and all after it; `--from train` throws the trained networks away and trains anew.
    """
    from netbooster.experiment.recipe import load_recipe

    run.pipeline(
        change_recipe(load_recipe(recipe), sets, seed, data),
        target=target,
        folder=output,
        methods=None if methods is None else methods.replace(",", " ").split(),
        start=start,
        device=device,
        schedule=schedule,
        input=input_mode,
        ram=ram,
        keep_dead=keep_dead,
        widen_weights=widen_weights,
        console=console,
    )
