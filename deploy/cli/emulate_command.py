"""`netbooster emulate`: the firmware answers test images in an emulator."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp, hash_file, hash_files
from deploy.run.context import DEFAULT_TARGET, ModelOption, ModelPaths, RunContext, TargetOption
from deploy.run.engine import Engine, EngineOption, TflmOption, prepare_engine
from deploy.run.single_file import emulate_file
from netbooster.common.files import write_atomic

NO_ARGS_IS_HELP = True


def stage(
    context: RunContext,
    *,
    images: int | None = None,
    emulator: str | None = None,
    max_instructions: int | None = None,
) -> None:
    """Run test images on each model's firmware and compare every output byte."""
    from deploy.devices import MAX_INSTRUCTIONS, choose_emulator

    target = context.target
    chosen = choose_emulator(target, emulator)
    limit = max_instructions or MAX_INSTRUCTIONS
    count = images or context.recipe.emulate.images
    for paths in context.models:
        context.need(paths.firmware(target.name), "build")
        context.need(paths.host_library, "build")
        measurement = paths.measurement(target.name)
        stamp = Stamp(
            paths.folder,
            f"emulate-{target.name}" + ("" if paths.engine == "nb" else f"-{paths.engine}"),
            inputs=[paths.firmware(target.name), paths.host_library, paths.tflite],
            settings={
                "images": count,
                "data": context.dataset.fingerprint(),
                "emulator": chosen,
            },
            outputs=[measurement],
        )
        if not context.force and stamp.is_current():
            say("emulate", f"{paths.name}: up to date")
            continue
        stamp.clear()
        record = _emulate(context, paths, count, chosen, limit)
        write_atomic(measurement, json.dumps(record, indent=1) + "\n")
        stamp.write()


def _emulate(
    context: RunContext, paths: ModelPaths, count: int, emulator: str, max_instructions: int
) -> dict[str, Any]:
    from deploy.build.host_model import HostModel
    from deploy.devices import run_images
    from deploy.run.model_io import test_batches

    target = context.target
    batches = list(test_batches(context.dataset, limit=count))
    inputs = np.concatenate([batch[1] for batch in batches])[:count]
    labels = np.concatenate([batch[2] for batch in batches])[:count]
    result = run_images(
        target,
        paths.firmware(target.name),
        inputs,
        emulator=emulator,
        max_instructions=max_instructions,
    )
    outputs = result.outputs.reshape(len(inputs), -1)
    host = HostModel(paths.host_library).invoke(inputs).reshape(len(inputs), -1)
    different = int((outputs != host).sum())
    if paths.engine == "nb":
        _require_equal(outputs, host, f"{paths.name}: {target.name} and the host build")
        tflm, reason = _tflm_outputs(paths.tflite, inputs)
    else:  # not our arithmetic: what differs is told and written down
        tflm, reason = None, f"{different} of {host.size} bytes are not the host build's"
    if tflm is not None:
        _require_equal(outputs, tflm, f"{paths.name}: {target.name} and the TFLM interpreter")
    record = _record(context, paths, result)
    record["images"] = [
        {
            "index": index,
            "label": int(labels[index]),
            "prediction": int(outputs[index].argmax()),
            "output": outputs[index].tolist(),
        }
        for index in range(len(inputs))
    ]
    record["exact"] = {
        "host": different == 0,
        "tflm": None if tflm is None else True,
        "reason": reason,
    }
    correct = int((outputs.argmax(axis=1) == labels).sum())
    against = "the host build and the TFLM interpreter" if tflm is not None else "the host build"
    engine = "" if paths.engine == "nb" else f", engine {paths.engine}"
    say(
        "emulate",
        f"{paths.name}{engine}: {correct} of {len(inputs)} test images right on {target.name}, "
        + (f"{reason}; " if different else f"every byte equal to {against}; ")
        + f"{result.instructions:,} instructions an inference ({result.counting})",
    )
    if tflm is None and paths.engine == "nb":
        say("emulate", f"{paths.name}: not compared with TFLM: {reason}")
    return record


def _record(context: RunContext, paths: ModelPaths, result: Any) -> dict[str, Any]:
    from deploy.evidence.energy import estimate_energy

    target = context.target
    build = json.loads(context.need(paths.build_json(target.name), "build").read_text())
    plan = json.loads((paths.generated / "plan.json").read_text())
    counted = {layer["symbol"]: layer for layer in result.layers}
    layers = [
        {
            "name": layer["name"],
            "op": layer["op"],
            "kernel": layer["kernel"],
            "macs": layer["macs"],
            "instructions": counted[layer["symbol"]]["instructions"],
            "cycles_estimated": counted[layer["symbol"]]["cycles_estimated"],
        }
        for layer in plan["layers"]
        if layer["symbol"] in counted
    ]
    sizes = build["sizes"]
    cycles = result.cycles_estimated
    seconds = None if cycles is None else cycles / target.clock_hz
    energy = estimate_energy(target, seconds)
    return {
        "format": 1,
        "model": paths.name,
        "target": target.name,
        "engine": paths.engine,
        "toolchain": {
            "compiler": build["compiler"],
            "flags": build["flags"],
            "emulator": result.emulator,
        },
        "counting": result.counting,
        "instructions": result.instructions,
        "instructions_range": [
            min(result.per_image_instructions),
            max(result.per_image_instructions),
        ],
        "cycles_estimated": cycles,
        "clock_hz": target.clock_hz,
        "latency_estimated_ms": None if seconds is None else seconds * 1000,
        "energy_estimated_uj": None if energy is None else energy.microjoules,
        "energy_source": None if energy is None else energy.source,
        "layers": layers,
        "ram": {
            "arena": sizes["arena"],
            "static": sizes["ram_static"],
            "stack": result.stack_high_water,
            "total": sizes["ram_static"] + result.stack_high_water,
        },
        "flash": {
            "code": sizes["code"],
            "tables": sizes["tables"],
            "weights": sizes["weights"],
            "total": sizes["flash_total"],
        },
        "memory": {
            "flash": target.flash.length if target.flash else None,
            "ram": target.ram_bytes if target.ram else None,
        },
        "tflite_bytes": paths.tflite.stat().st_size,
        "hashes": {
            "tflite": hash_file(paths.tflite),
            "elf": hash_file(paths.firmware(target.name)),
            "generated": hash_files([paths.sources(target.name)]),
            "library": build.get("library_sha256"),
        },
    }


def _tflm_outputs(tflite: Path, inputs: np.ndarray) -> tuple[np.ndarray | None, str | None]:
    from deploy.tflite.tflm import TflmModel, tflm_available

    reason = tflm_available()
    if reason is not None:
        return None, reason
    interpreter = TflmModel(tflite.read_bytes())
    rows = [np.asarray(interpreter.invoke(image[None])).reshape(-1) for image in inputs]
    return np.stack(rows), None


def _require_equal(ours: np.ndarray, other: np.ndarray, names: str) -> None:
    different = int((ours != other).sum())
    if different:
        image = int(np.argwhere((ours != other).any(axis=1))[0, 0])
        raise DeployError(
            f"{names} disagree in {different} of {ours.size} output bytes, first at test image "
            f"{image}: this is a bug in a kernel; please report it with the .tflite file"
        )


def command(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|FILE.tflite", help="Run folder, or any int8 model."),
    ],
    target: TargetOption = DEFAULT_TARGET,
    model: ModelOption = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Test images to run (of a file: random ones). Default: the recipe's, or 2."
        ),
    ] = None,
    emulator: Annotated[
        str | None,
        typer.Option("--emulator", "-e", help="qemu or renode. Default: QEMU where it knows it."),
    ] = None,
    max_instructions: Annotated[
        int | None, typer.Option(min=1, help="An inference that executes more is ended.")
    ] = None,
    engine: EngineOption = "nb",
    tflm_dir: TflmOption = None,
) -> None:
    """Run test images on the emulated target and count instructions.

    Images go to the firmware over the emulated UART and outputs come back the same way. Every
    output byte must equal the host build's and the TFLM interpreter's. Instructions are exact;
    cycles and latency are estimates by a documented model of the core.
    """
    chosen = Engine(engine, tflm_dir).check()
    if source.is_file():
        from deploy.devices import MAX_INSTRUCTIONS
        from deploy.targets import load_target

        emulate_file(
            source,
            load_target(target),
            chosen,
            images=images or 2,
            emulator=emulator,
            max_instructions=max_instructions or MAX_INSTRUCTIONS,
        )
        return
    context = RunContext.open(source, target=target, model=model)
    prepare_engine(context, chosen)
    stage(context, images=images, emulator=emulator, max_instructions=max_instructions)
    say("emulate", f"done; next: netbooster report {source} --target {target}")
