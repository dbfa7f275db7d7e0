"""Which engine runs a model: our compiled C, or TensorFlow Lite Micro beside it for comparison."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp, hash_file
from netbooster.common.files import write_atomic

if TYPE_CHECKING:
    from deploy.build.engine_tflm import TflmLibrary
    from deploy.run.context import ModelPaths, RunContext

ENGINES = ("nb", "tflm")

EngineOption = Annotated[
    str, typer.Option(help="nb, or tflm for the same harness around the interpreter in --tflm-dir.")
]
TflmOption = Annotated[
    Path | None,
    typer.Option("--tflm-dir", help="TensorFlow Lite Micro: headers and the library you built."),
]


@dataclass(frozen=True)
class Engine:
    """An engine's name and, for tflm, the folder of the library that the user built."""

    name: str = "nb"
    tflm_dir: Path | None = None

    def check(self) -> "Engine":
        """Raises DeployError for an unknown engine, or a library for one that takes none."""
        if self.name not in ENGINES:
            raise DeployError(f"unknown engine '{self.name}'; known: {', '.join(ENGINES)}")
        if self.name == "nb" and self.tflm_dir is not None:
            raise DeployError("--tflm-dir is for --engine tflm")
        return self


def prepare_engine(context: "RunContext", engine: Engine) -> None:
    """Make a run's commands work on an engine's firmware, which is built where a library is given.

    Raises:
        DeployError: an unknown engine, an unusable library, or the model does not fit.
    """
    context.engine = engine.check().name
    if engine.tflm_dir is not None:
        build_tflm_stage(context, engine, force=False)


def build_tflm_stage(context: "RunContext", engine: Engine, *, force: bool) -> None:
    """Link the interpreter with each model's flatbuffer as it is.

    Raises:
        DeployError: no library, or the model does not fit.
    """
    from deploy.build.engine_tflm import find_library

    context.engine = engine.check().name
    library = find_library(engine.tflm_dir, context.target)
    for paths in context.models:
        context.need(paths.tflite, "export")
        name = context.target.name
        stamp = Stamp(
            paths.folder,
            f"build-{name}-tflm",
            inputs=[paths.tflite, library.archive],
            settings={"includes": [str(path) for path in library.includes]},
            outputs=[paths.firmware(name), paths.build_json(name), paths.sources(name)],
        )
        if not force and stamp.is_current():
            say("build", f"{paths.name}, engine tflm: up to date")
            continue
        stamp.clear()
        _build_tflm(context, paths, library)
        stamp.write()


def _build_tflm(context: "RunContext", paths: "ModelPaths", library: "TflmLibrary") -> None:
    from deploy.build.engine_tflm import build_tflm
    from deploy.devices.arena import arena_used

    target = context.target
    data, folder = paths.tflite.read_bytes(), paths.sources(target.name)
    arena = arena_used(data, paths.name, target, library, folder)
    elf = paths.firmware(target.name)
    result = build_tflm(data, paths.name, target, library, folder, elf, arena=arena)
    sizes = result.sizes
    record = {
        "compiler": result.compiler,
        "flags": result.flags,
        "sizes": asdict(sizes),
        "library_sha256": hash_file(library.archive),
    }
    write_atomic(paths.build_json(target.name), json.dumps(record, indent=1) + "\n")
    say(
        "build",
        f"{paths.name}, engine tflm: {elf} (flash {sizes.flash_total / 1000:.1f} KB, "
        f"static RAM {sizes.ram_static / 1000:.1f} KB, arena {arena / 1000:.1f} KB of it)",
    )
