# SPDX-License-Identifier: Apache-2.0
"""`netbooster measure`: what a firmware does on a board, or on an emulated one."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console, say
from deploy.cli.options import DEFAULT_TARGET, EngineOption, TargetOption, TflmOption

NO_ARGS_IS_HELP = True
_MAX_INSTRUCTIONS = 50_000_000_000
_SECONDS = 600.0


def command(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|FILE.tflite", help="Run folder, or any int8 model."),
    ],
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="qemu|renode|PORT",
            help="An emulator, or the serial port of a board, such as /dev/ttyACM0. Default: the "
            "emulator that knows the target.",
        ),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Test images. Default: the recipe's number in an emulator, all on a board; of a "
            "file 2 random ones.",
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Inferences at least. Default: 10 on a board, one an image in an emulator."
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one inference.")] = _SECONDS,
    max_instructions: Annotated[
        int, typer.Option(min=1, help="In an emulator an inference that executes more is ended.")
    ] = _MAX_INSTRUCTIONS,
    engine: EngineOption = "nb",
    tflm_dir: TflmOption = None,
) -> None:
    """Send images to a firmware on a device: every byte compared, accuracy, time, memory.

    Every output byte must be the host build's and the TFLM interpreter's. A board's cycles are
    measured; an emulator's instructions are exact, its cycles and latency estimates by a
    documented model of the core. What was answered is kept: after a pulled cable or Ctrl-C the
    same command goes on where it stopped.
    """
    run.measure(
        source,
        images,
        on=on,
        target=target,
        runs=runs,
        timeout=timeout,
        max_instructions=max_instructions,
        engine=engine,
        tflm_dir=tflm_dir,
        force=True,
        console=console,
    )
    if source.is_dir():
        say("measure", f"done; next: netbooster report {source} --target {target}")
