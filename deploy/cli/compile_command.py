"""`netbooster compile`: a flatbuffer becomes C."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.cli.context import ModelOption, RunContext
from deploy.errors import DeployError
from deploy.stamps import Stamp

NO_ARGS_IS_HELP = True
KB = 1000


def stage(context: RunContext) -> None:
    """Generate C from each model's flatbuffer."""
    for paths in context.models:
        context.need(paths.tflite, "export")
        plan_json = paths.generated / "plan.json"
        stamp = Stamp(
            paths.folder, "compile", inputs=[paths.tflite], settings={}, outputs=[plan_json]
        )
        if not context.force and stamp.is_current():
            say("compile", f"{paths.name}: up to date")
            continue
        stamp.clear()
        compile_file(paths.tflite, paths.generated, paths.name)
        stamp.write()


def compile_file(tflite: Path, output: Path, name: str) -> None:
    """Generate C from one flatbuffer and say what it needs."""
    from deploy.codegen import compile_model

    try:
        data = tflite.read_bytes()
    except OSError as error:
        raise DeployError(f"cannot read {tflite}: {error.strerror or error}") from error
    plan = compile_model(data, output, name=name)
    say(
        "compile",
        f"{name}: {output} ({len(plan.layers)} layers, arena {plan.arena_bytes / KB:.1f} KB, "
        f"weights {plan.weights_bytes / KB:.1f} KB)",
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
) -> None:
    """Turn int8 flatbuffers into C: weights, memory plan, one function a layer.

    The same input gives the same bytes. RUN/MODEL/generated builds with CMake alone.
    """
    if source.is_dir():
        context = RunContext.open(source, model=model)
        stage(context)
        say("compile", f"done; next: netbooster build {source}")
        return
    folder = output or source.with_name(f"{source.stem}-generated")
    compile_file(source, folder, source.stem)
    say("compile", f"done; next: netbooster build {folder} --target mps2-an386")
