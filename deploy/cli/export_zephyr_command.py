"""`netbooster export-zephyr`: a compiled model as a Zephyr module."""

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
    """Write a Zephyr module with a sample."""
    from deploy.package import export_zephyr

    export_library(export_zephyr, source, name, output, model, labels, suffix="-zephyr")
