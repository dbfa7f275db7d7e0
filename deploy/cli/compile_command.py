# SPDX-License-Identifier: Apache-2.0
"""`netbooster compile`: a flatbuffer becomes C."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
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

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FILE.tflite", help="Run folder, or any int8 .tflite.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the C files of a single .tflite."),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
) -> None:
    """Turn int8 flatbuffers into C: weights, memory plan, a table of layers.

    The same input gives the same bytes. RUN/generated builds with CMake alone.
    """
    compiled = run.compile(
        source,
        target=target,
        output=output,
        schedule=schedule,
        input=input_mode,
        ram=ram,
        keep_dead=keep_dead,
        widen_weights=widen_weights,
        force=True,
        console=console,
    )
    made = source if compiled.run else f"{compiled.generated} --target {target}"
    say("compile", f"done; next: netbooster build {made}")
