# SPDX-License-Identifier: Apache-2.0
"""`netbooster build`: the generated C, for this machine and for the target."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console, say
from deploy.cli.options import DEFAULT_TARGET, EngineOption, TargetOption, TflmOption

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|GENERATED|FILE.tflite",
            help="Run folder, a folder of generated C, or any int8 model.",
        ),
    ],
    target: TargetOption = DEFAULT_TARGET,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .elf, where no run is built."),
    ] = None,
    engine: EngineOption = "nb",
    tflm_dir: TflmOption = None,
) -> None:
    """Build the generated C for this machine and, with arm-none-eabi-gcc, for the target.

    The host build runs the whole test set: the int8 accuracy in the report comes from the same
    C that the board executes. A model that does not fit is refused, by bytes and layer.
    """
    firmware = run.build(
        source,
        target=target,
        output=output,
        engine=engine,
        tflm_dir=tflm_dir,
        force=True,
        console=console,
    )
    if firmware.run:
        option = "" if engine == "nb" else f" --engine {engine}"
        say("build", f"done; next: netbooster measure {source} --target {target}{option}")
