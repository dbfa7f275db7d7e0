"""What the four `export-...` commands for other build systems share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.run.context import MODELS, ModelPaths

if TYPE_CHECKING:
    from deploy.package.sources import Library

SourceArgument = Annotated[
    Path, typer.Argument(metavar="RUN|GENERATED", help="Run folder, or a folder of generated C.")
]
LibraryOption = Annotated[
    str, typer.Option("--name", "-n", help="Name of the library and of its header.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="What is written.")]
LibraryModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Which of the run: vanilla or boosted.")
]


def export_library(
    export: "Callable[[Library, Path], None]",
    source: Path,
    name: str,
    output: Path | None,
    model: str,
    labels: str | None,
    *,
    suffix: str,
) -> None:
    """Collect a model's sources and hand them to `export`."""
    from deploy.package.sources import collect

    chosen = None if labels is None else [label.strip() for label in labels.split(",")]
    if (source / "plan.json").is_file():
        generated, folder = source, source.parent
    else:
        if model not in MODELS:
            raise DeployError(f"unknown model '{model}'; choose one of: {', '.join(MODELS)}")
        paths = ModelPaths(source / model)
        generated, folder = paths.generated, paths.folder
        if not (generated / "plan.json").is_file():
            raise DeployError(f"{generated} is missing; make it with: netbooster compile {source}")
        if chosen is None and paths.model_json.is_file():
            chosen = [str(label) for label in json.loads(paths.model_json.read_text())["labels"]]
    target = output or folder / f"{name}{suffix}"
    library = collect(generated, name, chosen)
    export(library, target)
    say("export", f"{target}: {library.model}, {len(library.labels)} classes")
