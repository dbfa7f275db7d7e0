# SPDX-License-Identifier: Apache-2.0
"""`netbooster package`: a compiled model as a library for another build system."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console
from deploy.run.packaging import LIBRARY, Format

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|GENERATED",
            help="Run folder (of a comparison, its selected run), or a folder of generated C.",
        ),
    ],
    format: Annotated[Format, typer.Option("--format", "-f", help="Which build system.")],
    name: Annotated[
        str, typer.Option("--name", "-n", help="Name of the library and of its header.")
    ] = LIBRARY,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="What is written: a .zip or a folder.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names, separated by commas. Default: the run's.")
    ] = None,
) -> None:
    """Write the model as a library with an example.

    For Arduino a .zip that the IDE installs; for PlatformIO, Zephyr and CMake (STM32CubeIDE as
    well) a folder.
    """
    run.package(
        source,
        format=format.value,
        name=name,
        output=output,
        labels=None if labels is None else [label.strip() for label in labels.split(",")],
        console=console,
    )
