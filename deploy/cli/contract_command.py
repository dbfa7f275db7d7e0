"""`netbooster contract`: the linearized giant becomes the original network, exactly."""

import json

from deploy.cli.console import console, say
from deploy.run.context import ModelPaths, RunContext, RunFolder
from netbooster.common.files import write_atomic

NO_ARGS_IS_HELP = True


def stage(context: RunContext) -> None:
    """Contract, then write down each model's budget for the report."""
    from netbooster.experiment.run import train

    for paths in context.models:
        if not (paths.folder / "checkpoint.pt").is_file():
            context.need(paths.contracted, "train")
        recipe = context.recipe_of(paths.name)
        train(recipe, paths.folder, device=context.device, console=console)
        _write_summary(context, paths)


def _write_summary(context: RunContext, paths: ModelPaths) -> None:
    from deploy.run.model_io import load_model, summarize

    context.need(paths.contracted, "train")
    summary = summarize(load_model(paths.contracted), context.recipe_of(paths.name))
    write_atomic(paths.summary, json.dumps(summary, indent=1) + "\n")
    accuracy = summary["accuracy"]
    detail = f"{summary['macs']:,} MACs, {summary['parameters']:,} parameters"
    if summary["contraction_error"] is not None:
        detail += f", contraction error {summary['contraction_error']:.1e}"
    say("contract", f"{paths.name}: test accuracy {accuracy['test']:.2%}, {detail}")


def command(run: RunFolder) -> None:
    """Merge the linear chains of the tuned giant back into the original layers.

    Stops where the contracted and the linearized network differ by more than 1e-4 relative.
    """
    context = RunContext.open(run)
    stage(context)
    say("contract", f"done; next: netbooster quantize {run}")
