"""`netbooster export-arduino`: a compiled model as an Arduino library (.zip)."""

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
    """Write a library (zip) that the Arduino IDE installs, with two example sketches."""
    from deploy.package import export_arduino

    export_library(export_arduino, source, name, output, model, labels, suffix=".zip")
