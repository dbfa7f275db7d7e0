"""`netbooster export-platformio`: a compiled model as a PlatformIO library."""

from typing import Annotated

import typer

from deploy.cli.export_projects import (
    LibraryModelOption,
    LibraryOption,
    OutputOption,
    SourceArgument,
    export_library,
)

NO_ARGS_IS_HELP = True


def command(
    source: SourceArgument,
    name: LibraryOption = "NetBoosterModel",
    output: OutputOption = None,
    model: LibraryModelOption = "boosted",
    labels: Annotated[
        str | None, typer.Option(help="Class names, separated by commas. Default: the run's.")
    ] = None,
) -> None:
    """Write a library folder for a PlatformIO project's lib folder."""
    from deploy.package import export_platformio

    export_library(export_platformio, source, name, output, model, labels, suffix="-platformio")
