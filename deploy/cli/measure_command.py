"""`netbooster measure`: accuracy and time on a board, or on an emulated one."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file, hash_files
from deploy.run.context import DEFAULT_TARGET, ModelPaths, RunContext, RunFolder, TargetOption
from deploy.run.engine import Engine, EngineOption, TflmOption, prepare_engine
from netbooster.common.files import write_atomic

if TYPE_CHECKING:
    from deploy.devices.measure import Device, Measured

NO_ARGS_IS_HELP = True
_SECONDS = 600.0  # for one inference


def measure_run(
    context: RunContext,
    paths: ModelPaths,
    *,
    port: str | None,
    emulator: str | None,
    images: int | None,
    runs: int,
    timeout: float = _SECONDS,
) -> dict[str, Any]:
    """Measure one model of a run and write measurement-TARGET.json."""
    from deploy.build.host_model import HostModel
    from deploy.devices.measure import BoardDevice, EmulatedDevice, measure
    from deploy.run.model_io import test_batches

    target = context.target
    elf = context.need(paths.firmware(target.name), "build")
    context.need(paths.host_library, "build")
    batches = list(test_batches(context.dataset, limit=images))
    inputs = np.concatenate([batch[1] for batch in batches])[:images]
    labels = np.concatenate([batch[2] for batch in batches])[:images]
    expected = HostModel(paths.host_library).invoke(inputs)

    def connect() -> "Device":
        if port is not None:
            firmware = elf if target.is_bare_metal else None
            return BoardDevice(target, port, firmware, timeout=timeout)
        return EmulatedDevice(target, elf, timeout=timeout, emulator=emulator)

    hashes = {
        "tflite": hash_file(paths.tflite),
        "elf": hash_file(elf),
        "generated": hash_files([paths.sources(target.name)]),
    }
    measured = measure(
        connect,
        inputs,
        expected,
        sha256=hashes["tflite"],
        progress_file=paths.measurement(target.name).with_suffix(".partial.jsonl"),
        key={
            "elf": hashes["elf"],
            "data": context.dataset.fingerprint(),
            "source": "board" if port else emulator,
        },
        runs=runs,
        say=lambda message: say("measure", message),
    )
    record = _record(context, paths, measured, labels, hashes)
    path = paths.measurement(target.name)
    write_atomic(path, json.dumps(record, indent=1) + "\n")
    _tell(paths, record, measured)
    if measured.first_different is not None and paths.engine == "nb":
        raise DeployError(
            f"{paths.name}: {target.name} and the host build disagree in "
            f"{measured.different_bytes} output bytes, first at test image "
            f"{measured.first_different}; all answers are in {path}"
        )
    return record


def _record(
    context: RunContext,
    paths: ModelPaths,
    measured: "Measured",
    labels: np.ndarray,
    hashes: dict[str, str],
) -> dict[str, Any]:
    from deploy.devices.measure import spread
    from deploy.evidence.energy import estimate_energy

    target = context.target
    build = json.loads(context.need(paths.build_json(target.name), "build").read_text())
    plan = json.loads((paths.generated / "plan.json").read_text())
    first = measured.laps[0]
    cycles = spread([lap.cycles for lap in measured.laps])
    microseconds = spread([lap.microseconds for lap in measured.laps])
    estimated = first.cycles_estimated
    if cycles is not None:
        seconds: float | None = cycles["median"] / target.clock_hz
    else:
        seconds = None if estimated is None else estimated / target.clock_hz
    energy = estimate_energy(target, seconds)
    counted = {layer["symbol"]: layer for layer in first.layers}
    keys = ("instructions", "cycles_estimated")
    sizes = build["sizes"]
    predictions = measured.outputs.argmax(axis=1)
    stack = measured.memory["stack_used"]
    return {
        "format": 1,
        "model": paths.name,
        "target": target.name,
        "engine": paths.engine,
        "toolchain": {
            "compiler": build["compiler"],
            "flags": build["flags"],
            "emulator": measured.emulator,
        },
        "counting": measured.counting,
        "instructions": first.instructions,
        "instructions_range": _span([lap.instructions for lap in measured.laps]),
        "cycles_estimated": estimated,
        "cycles_measured": None if cycles is None else round(cycles["median"]),
        "cycles_measured_spread": cycles,
        "clock_hz": target.clock_hz,
        "latency_estimated_ms": None if estimated is None else estimated / target.clock_hz * 1e3,
        "latency_measured_us": microseconds,
        "energy_estimated_uj": None if energy is None else energy.microjoules,
        "energy_source": None if energy is None else energy.source,
        "layers": [
            {key: layer[key] for key in ("name", "op", "kernel", "macs")}
            | {key: counted[layer["symbol"]][key] for key in keys}
            for layer in plan["layers"]
            if layer["symbol"] in counted
        ],
        "ram": {
            "arena": sizes["arena"],
            "static": sizes["ram_static"],
            "stack": stack,
            "total": sizes["ram_static"] + stack,
        },
        "flash": {
            "code": sizes["code"],
            "tables": sizes["tables"],
            "weights": sizes["weights"],
            "total": sizes["flash_total"],
        },
        "memory": {
            "flash": target.flash.length if target.flash else 0,
            "ram": target.ram_bytes,
        },
        "tflite_bytes": paths.tflite.stat().st_size,
        "accuracy_on_device": float((predictions == labels).mean()),
        "images": [
            {
                "index": index,
                "label": int(label),
                "prediction": int(predictions[index]),
                "output": measured.outputs[index].tolist(),
            }
            for index, label in enumerate(labels)
        ],
        "exact": {
            "host": measured.first_different is None,
            "tflm": None,
            "reason": "measure compares with the host build; emulate also with TFLM"
            if measured.first_different is None
            else f"{measured.different_bytes} of {measured.outputs.size} bytes are not the host "
            "build's",
        },
        "reconnects": measured.reconnects,
        "hashes": hashes | {"library": build.get("library_sha256")},
    }


def _span(counts: list[int | None]) -> list[int] | None:
    known = [count for count in counts if count is not None]
    return [min(known), max(known)] if known else None


def _tell(paths: ModelPaths, record: dict[str, Any], measured: "Measured") -> None:
    count = len(record["images"])
    where = measured.emulator or "the device"
    say(
        "measure",
        f"{paths.name}: accuracy on {record['target']} ({where}) "
        f"{record['accuracy_on_device']:.2%} of {count} test images"
        + (
            "; every output byte equal to the host build"
            if record["exact"]["host"]
            else f"; {record['exact']['reason']}"
        ),
    )
    if spread := record["cycles_measured_spread"]:
        clock = record["clock_hz"]
        low, middle, high = (spread[key] / clock * 1e3 for key in ("min", "median", "max"))
        say(
            "measure",
            f"{paths.name}: latency median {middle:.3f} ms (min {low:.3f}, max {high:.3f}, "
            f"{spread['runs']} runs); {record['cycles_measured']:,} cycles measured",
        )
    elif spread := record["latency_measured_us"]:
        say(
            "measure",
            f"{paths.name}: latency median {spread['median']:g} us (min {spread['min']:g}, "
            f"max {spread['max']:g}, {spread['runs']} runs), by this machine's clock",
        )
    if record["instructions"] is not None:
        estimated = record["cycles_estimated"]
        shown = "" if estimated is None else f"; {estimated:,} cycles estimated"
        say(
            "measure",
            f"{paths.name}: {record['instructions']:,} instructions executed "
            f"({record['counting']}){shown}",
        )
    if record["energy_estimated_uj"] is not None:
        say(
            "measure",
            f"{paths.name}: energy estimated {record['energy_estimated_uj']:,.0f} uJ an inference "
            f"({record['energy_source']})",
        )
    ram = record["ram"]
    say(
        "measure",
        f"{paths.name}: RAM {ram['total']:,} bytes (arena {ram['arena']:,}, stack "
        f"{ram['stack']:,}), flash {record['flash']['total']:,} bytes",
    )


def command(
    run: RunFolder,
    port: Annotated[
        str | None,
        typer.Option("--port", "-p", help="Serial port of the board, such as /dev/ttyACM0."),
    ] = None,
    emulator: Annotated[
        str | None, typer.Option("--emulator", "-e", help="Instead of a board: qemu or renode.")
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="vanilla or boosted: what the board was flashed with."),
    ] = "boosted",
    images: Annotated[
        int | None, typer.Option(min=1, help="Test images. Default: all of them.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed inferences, at least.")] = 10,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer.")] = _SECONDS,
    engine: EngineOption = "nb",
    tflm_dir: TflmOption = None,
) -> None:
    """Send the labelled test set to a device: accuracy, latency, memory, every byte compared.

    A board's cycles are measured; an emulator's instructions are counted and its cycles
    estimated. After a pulled cable it goes on where it stopped, also as a new command.
    """
    if (port is None) == (emulator is None):
        raise DeployError("give either --port PORT (a board) or --emulator qemu or renode")
    from deploy.devices import EMULATORS

    if emulator is not None and emulator not in EMULATORS:
        raise DeployError(f"unknown emulator '{emulator}'; known: {', '.join(EMULATORS)}")
    chosen = Engine(engine, tflm_dir).check()
    context = RunContext.open(run, target=target, model=model)
    prepare_engine(context, chosen)
    measure_run(
        context,
        context.models[0],
        port=port,
        emulator=emulator,
        images=images,
        runs=runs,
        timeout=timeout,
    )
