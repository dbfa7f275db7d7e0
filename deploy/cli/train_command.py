"""`netbooster train`: the vanilla baseline and the boosted network's giant."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, say
from deploy.cli.recipe_options import (
    DataOption,
    RecipeArgument,
    SeedOption,
    SetOption,
    change_recipe,
)
from deploy.run.context import ModelOption, RunContext, model_of

if TYPE_CHECKING:
    from netbooster.experiment.recipe import Recipe

NO_ARGS_IS_HELP = True
FEW_STEPS = 100


def open_new(recipe: "Recipe", output: Path | None) -> RunContext:
    """The run of a recipe, in ``output`` or in ``runs/<recipe's name>``."""
    only = model_of(recipe) if recipe.method is not None else None
    return RunContext(recipe, output or Path("runs") / recipe.name, only=only)


def stage(context: RunContext) -> None:
    """Train what is not trained yet."""
    from netbooster.experiment.recipe import save_recipe
    from netbooster.experiment.run import check_layout, train
    from netbooster.training.distributed import is_writer

    images = context.dataset.split_size("train")  # bad data is told before the first step
    steps = context.recipe.total_steps(images)
    if steps < FEW_STEPS:
        say(
            "train",
            f"warning: only {steps} optimizer steps ({images:,} images in batches of "
            f"{context.recipe.train.batch_size}); some hundreds at least are needed: raise "
            "train.epochs, or lower train.batch_size",
        )
    check_layout(context.folder)
    context.folder.mkdir(parents=True, exist_ok=True)
    for paths in context.models:
        recipe = context.recipe_of(paths.name)
        train(recipe, paths.folder, device=context.device, console=console)
    if is_writer():
        save_recipe(context.recipe, context.folder)


def command(
    recipe: RecipeArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder. Default: runs/<recipe>.")
    ] = None,
    model: ModelOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    data: DataOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train the vanilla network and NetBooster's giant, then linearize it (PLT).

    Both take the same number of optimizer steps. Checkpoints are written on the way: after a
    kill the same command goes on from the last one. Metrics go to RUN/MODEL/metrics.jsonl.

    On many GPUs: `torchrun --nproc-per-node 4 -m deploy.cli train RECIPE --device cuda`; the
    processes share out the recipe's batch.
    """
    from netbooster.experiment.recipe import load_recipe
    from netbooster.training.distributed import is_writer

    context = open_new(change_recipe(load_recipe(recipe), sets, seed, data), output)
    context.only = model or context.only
    context.device = device
    context.check_model()
    stage(context)
    if is_writer():
        say("train", f"done; next: netbooster contract {context.folder}")
