"""`netbooster run`: all stages, images in, report out."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deploy import run as stages
from deploy.cli import contract_command, train_command
from deploy.cli.console import console, say
from deploy.cli.options import (
    DEFAULT_TARGET,
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
from deploy.core.errors import DeployError
from deploy.run import Planning
from deploy.run.context import RunContext

NO_ARGS_IS_HELP = True


class Stage(StrEnum):
    """The stages, in order."""

    DATA = "data"
    TRAIN = "train"
    CONTRACT = "contract"
    QUANTIZE = "quantize"
    COMPILE = "compile"
    BUILD = "build"
    MEASURE = "measure"
    REPORT = "report"


def _data_stage(context: RunContext) -> None:
    dataset = context.dataset
    sizes = ", ".join(
        f"{dataset.split_size(split):,} {split}" for split in ("train", "val", "test")
    )
    say("data", f"{dataset.name}: {len(dataset.labels)} classes; images: {sizes}")


def _measure_stage(context: RunContext) -> None:
    target = context.target
    if target.runs_here:
        stages.measure(
            context.folder, target=context.target_name, force=context.force, console=console
        )
        return
    say(
        "measure",
        f"no emulator knows {target.name}: skipped; with the board: netbooster flash "
        f"{context.folder} --target {target.name}, then netbooster measure",
    )


def _quantize_stage(context: RunContext) -> None:
    stages.quantize(context.folder, device=context.device, force=context.force, console=console)


def _compile_stage(context: RunContext) -> None:
    planning = context.planning
    stages.compile(
        context.folder,
        target=context.target_name,
        schedule=planning.schedule,
        input=planning.input,
        ram=planning.ram,
        keep_dead=planning.keep_dead,
        widen_weights=planning.widen_weights,
        force=context.force,
        console=console,
    )


def _build_stage(context: RunContext) -> None:
    stages.build(context.folder, target=context.target_name, force=context.force, console=console)


def _report_stage(context: RunContext) -> None:
    stages.report(context.folder, target=context.target_name, console=console)


STAGES: dict[Stage, Callable[[RunContext], None]] = {
    Stage.DATA: _data_stage,
    Stage.TRAIN: train_command.stage,
    Stage.CONTRACT: contract_command.stage,
    Stage.QUANTIZE: _quantize_stage,
    Stage.COMPILE: _compile_stage,
    Stage.BUILD: _build_stage,
    Stage.MEASURE: _measure_stage,
    Stage.REPORT: _report_stage,
}


def command(
    recipe: RecipeArgument,
    target: TargetOption = DEFAULT_TARGET,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder. Default: runs/<recipe>.")
    ] = None,
    start: Annotated[
        Stage | None,
        typer.Option("--from", help="Do this stage and all after it again; keep those before."),
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    data: DataOption = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda or cuda:N.")] = "cpu",
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
) -> None:
    """Train, contract, quantize, compile, measure and report, with one command.

    Stages whose inputs have not changed since they were done are skipped; after a kill the same
    command goes on from where it stopped. `--from quantize` repeats quantize and all after it.
    `--from train` throws the trained networks of this run away and trains anew.
    """
    from deploy.build.doctor import require_tools
    from netbooster.experiment.recipe import load_recipe

    changed = change_recipe(load_recipe(recipe), sets, seed, data)
    context = train_command.open_new(changed, output)
    context.device = device
    context.target_name = target
    context.planning = Planning(schedule, input_mode, ram, keep_dead, widen_weights)
    require_tools(context.target)  # told now rather than after minutes of training
    order = list(STAGES)
    first = order.index(start) if start else 0
    if start is not None and first > order.index(Stage.TRAIN) and not context.folder.is_dir():
        raise DeployError(f"--from {start}: no run in {context.folder} yet; leave --from out")
    for index, stage in enumerate(order):
        context.force = start is not None and index >= first
        if stage is Stage.TRAIN and context.force:
            context.discard_training()
        STAGES[stage](context)
