# SPDX-License-Identifier: Apache-2.0
"""A compiled model as a library for another build system."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.run.folder import RunPaths, chosen_in
from deploy.run.results import Compiled
from deploy.run.telling import teller

if TYPE_CHECKING:
    from rich.console import Console


class Format(StrEnum):
    """Build systems that take the model as a library."""

    ARDUINO = "arduino"
    PLATFORMIO = "platformio"
    ZEPHYR = "zephyr"
    CMAKE = "cmake"


LIBRARY = "NetBoosterModel"


def package(
    source: Compiled | str | Path,
    *,
    format: str,
    name: str = LIBRARY,
    output: str | Path | None = None,
    labels: Sequence[str] | None = None,
    console: "Console | None" = None,
) -> Path:
    """Write a library: generated C, kernels, labels, one public header, an example.

    Args:
        source: what :func:`compile` returned, a run, a comparison (its selected run), or a folder
            of generated C.
        format: arduino (a .zip that the IDE installs), platformio, zephyr or cmake (folders).
        name: of the library and its header, a C identifier.
        output: what is written. Default: beside the generated C, named after the library.
        labels: class names. Default: the run's, else ``class 0``, ``class 1``, ...
        console: where progress is shown; None is silent.

    Returns:
        What was written.

    Raises:
        DeployError: an unknown format, no generated C, or a place that cannot be written.
    """
    from deploy import package as room
    from deploy.package.sources import collect

    if format not in list(Format):
        raise DeployError(f"unknown format '{format}'; choose one of {', '.join(Format)}")
    if isinstance(source, Compiled):
        generated = source.generated
    elif (Path(source) / "plan.json").is_file():
        generated = Path(source)
    else:
        generated = chosen_in(Path(source)).generated
        if not (generated / "plan.json").is_file():
            raise DeployError(f"{generated} is missing; make it with: netbooster compile {source}")
    card = RunPaths(generated.parent).model_json
    if labels is None and generated.name == "generated" and card.is_file():
        labels = [str(label) for label in json.loads(card.read_text())["labels"]]
    suffix = ".zip" if format == Format.ARDUINO else f"-{format}"
    target = generated.parent / f"{name}{suffix}" if output is None else Path(output)
    library = collect(generated, name, None if labels is None else list(labels))
    getattr(room, f"export_{format}")(library, target)
    teller(console)("package", f"{target}: {library.model}, {len(library.labels)} classes")
    return target
