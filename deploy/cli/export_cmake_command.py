"""`netbooster export-cmake`: a compiled model as a CMake or STM32CubeIDE folder."""

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
    """Write a folder that drops into a CMake or STM32CubeIDE project."""
    from deploy.package import export_cmake

    export_library(export_cmake, source, name, output, model, labels, suffix="-cmake")
