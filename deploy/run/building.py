# SPDX-License-Identifier: Apache-2.0
"""From generated C to firmware for a target, and to a library for this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.build.firmware import BuildResult, Sizes
from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp, hash_file
from deploy.run.compiling import compile_file
from deploy.run.folder import DEFAULT_TARGET, Run, chosen_in, need, runs_in
from deploy.run.planning import Planning
from deploy.run.results import Compiled, Firmware
from deploy.run.selection import copy_selected
from deploy.run.telling import Say, teller
from netbooster.common.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.build.engine_tflm import TflmLibrary
    from deploy.targets import Target

ENGINES = ("nb", "tflm")


def build(
    source: Compiled | str | Path,
    *,
    target: str | None = None,
    output: str | Path | None = None,
    engine: str = "nb",
    tflm_dir: str | Path | None = None,
    force: bool = False,
    console: "Console | None" = None,
) -> Firmware:
    """Build for the target and, in a run, for this machine, where the whole test set is run.

    Args:
        source: what :func:`compile` returned, a run or comparison (all its runs), a folder of
            generated C, or any int8 .tflite file.
        target: default: the one that ``source`` was planned for, else mps2-an386.
        output: the .elf, where no run is built.
        engine: nb, or tflm for TensorFlow Lite Micro in the same harness.
        tflm_dir: TensorFlow Lite Micro: headers and the library you built.
        force: also where it is up to date.
        console: where progress is shown; None is silent.

    Returns:
        What was made; of a comparison, that of the selected run.

    Raises:
        DeployError: a tool is missing, or the model does not fit (by bytes and layer).
    """
    from deploy.targets import load_target

    check_engine(engine, tflm_dir)
    say = teller(console)
    if isinstance(source, Compiled):
        board = load_target(target or source.target)
        if source.run is None:
            own = source.tflite if engine == "tflm" else source.generated
            return _build_single(own, board, output, engine, tflm_dir, say, tflite=source.tflite)
        folder = source.run
    else:
        board = load_target(target or DEFAULT_TARGET)
        folder = Path(source)
        if folder.is_file() or (folder / "plan.json").is_file():
            return _build_single(folder, board, output, engine, tflm_dir, say)
    runs = runs_in(folder)
    if output is not None:
        raise DeployError("--output is for a single model; a run has its own places")
    for run in runs:
        if engine == "tflm":
            build_tflm_run(run, board, tflm_dir, force, say)
        else:
            _build_run(run, board, force, say)
    copy_selected(folder)
    return read_firmware(chosen_in(folder), board, engine)


def check_engine(engine: str, tflm_dir: str | Path | None) -> None:
    """Raises DeployError for an unknown engine, or a library for one that takes none."""
    if engine not in ENGINES:
        raise DeployError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")
    if engine == "nb" and tflm_dir is not None:
        raise DeployError("--tflm-dir is for --engine tflm")


def firmware_file(source: Path, target: "Target", engine: str = "nb") -> Path:
    """The .elf itself, or the one of a run, or of a comparison's selected run.

    Raises:
        DeployError: there is none; names the command that makes it.
    """
    if source.is_file():
        return source
    check_engine(engine, None)
    option = "" if engine == "nb" else f" --engine {engine} --tflm-dir DIR"
    elf = chosen_in(source).firmware(target.name, engine)
    return need(elf, f"build {source} --target {target.name}{option}")


def read_firmware(run: Run, target: "Target", engine: str = "nb") -> Firmware:
    """The firmware of a run as it was built.

    Raises:
        DeployError: it was not built, or what was written down about it is damaged.
    """
    elf, written = run.firmware(target.name, engine), run.build_json(target.name, engine)
    option = "" if engine == "nb" else f" --engine {engine} --tflm-dir DIR"
    for path in (elf, written, run.host_library):
        need(path, f"build {run.folder} --target {target.name}{option}")
    try:
        record = json.loads(read_bytes(written))
        accuracy = json.loads(read_bytes(run.model_json))["accuracy"]
        return Firmware(
            elf=elf,
            name=run.name,
            target=target.reference,
            engine=engine,
            sha256=hash_file(elf),
            sizes=Sizes(**record["sizes"]),
            compiler=str(record["compiler"]),
            flags=str(record["flags"]),
            tflite=run.tflite,
            generated=run.sources(target.name, engine),
            host_library=run.host_library,
            accuracy=accuracy.get("int8_test"),
            test_images=accuracy.get("test_images"),
            library_sha256=record.get("library_sha256"),
            run=run.folder,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(
            f"{written} or {run.model_json} is damaged; run `netbooster build` again"
        ) from error


def _build_run(run: Run, target: "Target", force: bool, say: Say) -> None:
    need(run.generated / "plan.json", f"compile {run.folder}")
    stamp = Stamp(
        run.folder,
        f"build-{target.name}",
        inputs=[run.generated],
        settings={"data": run.dataset.fingerprint()},
        outputs=[run.host_library, run.firmware(target.name), run.build_json(target.name)],
    )
    if not force and stamp.is_current():
        say("build", f"{run.name}: up to date")
        return
    stamp.clear()
    _build_both(run, target, say)
    stamp.write()


def _build_both(run: Run, target: "Target", say: Say) -> None:
    from deploy.build.firmware import build_firmware
    from deploy.build.host_model import HostModel, build_host
    from deploy.run.model_io import int8_accuracy

    result = build_firmware(run.generated, target, run.firmware(target.name))
    _write_record(run.build_json(target.name), result)
    sizes = result.sizes
    say(
        "build",
        f"{run.name}: {result.elf} (flash {sizes.flash_total / 1000:.1f} KB, "
        f"static RAM {sizes.ram_static / 1000:.1f} KB)",
    )
    build_host(run.generated, run.host_library)
    accuracy, count = int8_accuracy(HostModel(run.host_library).invoke, run.dataset)
    model = _read_record(run.model_json, "accuracy", "quantize")
    if not isinstance(model["accuracy"], dict) or "float_test" not in model["accuracy"]:
        raise DeployError(f"{run.model_json} is damaged; run `netbooster quantize` again")
    model["accuracy"] |= {"int8_test": accuracy, "test_images": count}
    write_atomic(run.model_json, json.dumps(model, indent=1) + "\n")
    say(
        "build",
        f"{run.name}: int8 accuracy {accuracy:.2%} on {count:,} test images "
        f"(host build; float {model['accuracy']['float_test']:.2%})",
    )


def build_tflm_run(
    run: Run, target: "Target", tflm_dir: str | Path | None, force: bool, say: Say
) -> None:
    """Link the interpreter with a run's flatbuffer as it is.

    Raises:
        DeployError: no library, or the model does not fit.
    """
    from deploy.build.engine_tflm import find_library

    library = find_library(None if tflm_dir is None else Path(tflm_dir), target)
    need(run.tflite, f"quantize {run.folder}")
    elf, written = (make(target.name, "tflm") for make in (run.firmware, run.build_json))
    sources = run.sources(target.name, "tflm")
    stamp = Stamp(
        run.folder,
        f"build-{target.name}-tflm",
        inputs=[run.tflite, library.archive],
        settings={"includes": [str(path) for path in library.includes]},
        outputs=[elf, written, sources],
    )
    if not force and stamp.is_current():
        say("build", f"{run.name}, engine tflm: up to date")
        return
    stamp.clear()
    result, arena = _link_tflm(run.tflite.read_bytes(), run.name, target, library, sources, elf)
    _write_record(written, result, library_sha256=hash_file(library.archive))
    sizes = result.sizes
    say(
        "build",
        f"{run.name}, engine tflm: {elf} (flash {sizes.flash_total / 1000:.1f} KB, "
        f"static RAM {sizes.ram_static / 1000:.1f} KB, arena {arena / 1000:.1f} KB of it)",
    )
    stamp.write()


def _link_tflm(
    data: bytes, name: str, target: "Target", library: "TflmLibrary", folder: Path, elf: Path
) -> tuple[BuildResult, int]:
    from deploy.build.engine_tflm import build_tflm
    from deploy.devices.arena import arena_used

    arena = arena_used(data, name, target, library, folder)
    return build_tflm(data, name, target, library, folder, elf, arena=arena), arena


def _read_record(path: Path, key: str, command: str) -> dict[str, Any]:
    """What an earlier stage wrote down, which has to have a ``key``."""
    try:
        record = json.loads(read_bytes(path))
    except ValueError:
        record = None
    if not isinstance(record, dict) or key not in record:
        raise DeployError(f"{path} is damaged; run `netbooster {command}` again")
    return record


def _write_record(path: Path, result: BuildResult, **more: Any) -> None:
    record = {"compiler": result.compiler, "flags": result.flags, "sizes": asdict(result.sizes)}
    write_atomic(path, json.dumps(record | more, indent=1) + "\n")


def _build_single(
    source: Path,
    target: "Target",
    output: str | Path | None,
    engine: str,
    tflm_dir: str | Path | None,
    say: Say,
    *,
    tflite: Path | None = None,
) -> Firmware:
    """One folder of generated C, or one .tflite, compiled for the target's RAM on the way."""
    from deploy.build.firmware import build_firmware

    suffix = "" if engine == "nb" else f"-{engine}"
    if source.is_dir():
        if engine != "nb":
            raise DeployError(f"--engine {engine} takes a run folder or a .tflite file")
        folder = source
        name = str(_read_record(source / "plan.json", "name", "compile")["name"])
        elf = source.parent / f"firmware-{target.name}.elf" if output is None else Path(output)
        result = build_firmware(folder, target, elf)
    else:
        tflite, name = source, source.stem
        folder = source.with_name(f"{source.stem}-{target.name}{suffix}-generated")
        default = source.with_name(f"{source.stem}-{target.name}{suffix}.elf")
        elf = default if output is None else Path(output)
        data = read_bytes(source)
        if engine == "tflm":
            from deploy.build.engine_tflm import find_library

            library = find_library(None if tflm_dir is None else Path(tflm_dir), target)
            result, _ = _link_tflm(data, name, target, library, folder, elf)
        else:
            arguments = Planning().arguments(target, in_run=False)
            compile_file(source, folder, name, arguments, say)
            result = build_firmware(folder, target, elf)
    sizes = result.sizes
    say(
        "build",
        f"{elf}: code {sizes.code:,}, tables {sizes.tables:,}, weights {sizes.weights:,} bytes "
        f"of flash; arena {sizes.arena:,} of {sizes.ram_static:,} bytes of static RAM",
    )
    return Firmware(
        elf=elf,
        name=name,
        target=target.reference,
        engine=engine,
        sha256=hash_file(elf),
        sizes=sizes,
        compiler=result.compiler,
        flags=result.flags,
        tflite=tflite,
        generated=folder,
    )
