"""`netbooster compile`: a flatbuffer becomes C."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli.console import say
from deploy.cli.inspect_command import read_bytes
from deploy.core.stamps import Stamp
from deploy.run.context import DEFAULT_TARGET, ModelOption, RunContext, TargetOption
from deploy.run.planning import (
    InputMode,
    InputOption,
    KeepDeadOption,
    Planning,
    RamOption,
    ScheduleName,
    ScheduleOption,
    WidenOption,
)

NO_ARGS_IS_HELP = True
KB = 1000


def stage(context: RunContext) -> None:
    """Generate C from each model's flatbuffer."""
    arguments = context.planning.arguments(context.target, in_run=True)
    for paths in context.models:
        context.need(paths.tflite, "export")
        plan_json = paths.generated / "plan.json"
        stamp = Stamp(
            paths.folder, "compile", inputs=[paths.tflite], settings=arguments, outputs=[plan_json]
        )
        if not context.force and stamp.is_current():
            say("compile", f"{paths.name}: up to date")
            continue
        stamp.clear()
        compile_file(paths.tflite, paths.generated, paths.name, arguments)
        stamp.write()


def compile_file(tflite: Path, output: Path, name: str, arguments: dict[str, Any]) -> None:
    """Generate C from one flatbuffer and say what it needs."""
    from deploy.codegen import plan_model, write_model

    compilation = plan_model(read_bytes(tflite), name=name, **arguments)
    write_model(compilation, output)
    plan = compilation.plan
    say(
        "compile",
        f"{name}: {output} ({len(plan.layers)} layers, schedule {plan.schedule}, arena "
        f"{plan.arena_bytes / KB:.1f} KB, weights {plan.weights_bytes / KB:.1f} KB)",
    )
    if compilation.removed_channels:
        say(
            "compile",
            f"{name}: {compilation.removed_channels:,} channels whose value is known or that "
            f"nothing reads are removed, and {compilation.removed_macs:,} MACs (--keep-dead)",
        )


def command(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FILE.tflite", help="Run folder, or any int8 .tflite.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the C files of a single .tflite."),
    ] = None,
    model: ModelOption = None,
    target: TargetOption = DEFAULT_TARGET,
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
) -> None:
    """Turn int8 flatbuffers into C: weights, memory plan, a table of layers.

    The same input gives the same bytes. RUN/MODEL/generated builds with CMake alone.
    """
    from deploy.targets import load_target

    planning = Planning(schedule, input_mode, ram, keep_dead, widen_weights)
    if source.is_dir():
        context = RunContext.open(source, target=target, model=model)
        context.planning = planning
        stage(context)
        say("compile", f"done; next: netbooster build {source}")
        return
    folder = output or source.with_name(f"{source.stem}-generated")
    arguments = planning.arguments(load_target(target), in_run=False)
    compile_file(source, folder, source.stem, arguments)
    say("compile", f"done; next: netbooster build {folder} --target {target}")
