# SPDX-License-Identifier: Apache-2.0
"""One model on one emulated target: what it executes, what memory it takes, whether it is exact."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deploy.build.elf import Elf
from deploy.build.firmware import BuildResult, build_firmware
from deploy.codegen import Compilation, plan_model, write_model
from deploy.core.errors import DeployError
from deploy.devices import Answers, QemuDevice, ask
from deploy.evidence.bench.exact import equals_interpreter
from deploy.evidence.bench.flash import FlashUse, measure_flash
from deploy.evidence.bench.profile import function_rows, layer_rows, outside_share
from deploy.targets import Target
from deploy.tflite.tflm import tflm_available

__all__ = ["FlashUse", "Settings", "bench_model"]

INPUTS = 4
_SECONDS = 1800.0  # for one inference


@dataclass(frozen=True)
class Settings:
    """How to compile and what to run.

    Attributes:
        compiling: keyword arguments of :func:`deploy.codegen.plan_model`.
        inputs: random inputs that are compared with the interpreter; the first one is counted.
        seed: of the random inputs.
        functions: count by function as well.
        folder: where generated C and firmware stay; None: a temporary one.
    """

    compiling: Mapping[str, Any] = field(default_factory=dict)
    inputs: int = INPUTS
    seed: int = 0
    functions: bool = False
    folder: Path | None = None


def bench_model(data: bytes, name: str, target: Target, settings: Settings) -> dict[str, Any]:
    """Compile, build, run and compare one model.

    Counting starts with the input's bytes in place (or with the first nb_push_row) and ends with
    the last byte of the output. RAM is the plan's arena, linked variables and the painted stack.

    Raises:
        DeployError: the model does not compile or fit, a tool is missing, or the firmware fails.
    """
    if settings.inputs < INPUTS:
        raise DeployError(f"{settings.inputs} random inputs are too few: at least {INPUTS}")
    if settings.folder is None:
        with tempfile.TemporaryDirectory(prefix="nb_bench_") as folder:
            return bench_model(data, name, target, replace(settings, folder=Path(folder)))
    compilation = plan_model(data, name=name, **settings.compiling)
    generated, firmware = settings.folder / "generated", settings.folder / f"{target.name}.elf"
    write_model(compilation, generated)
    built = build_firmware(generated, target, firmware, build_dir=settings.folder / "build")
    items = random_inputs(compilation, settings.inputs, settings.seed)
    answers = ask(
        lambda: QemuDevice(
            target, firmware, counter="plugin", functions=settings.functions, timeout=_SECONDS
        ),
        [b"".join(array.tobytes() for array in item) for item in items],
    )
    interval = ("nb_reset", "nb_harness_run")
    with QemuDevice(target, firmware, counter="plugin", interval=interval) as device:
        start_up = device.boot_count()
    arena = answers.memory.arena_bytes
    if arena != compilation.plan.arena_bytes:
        raise DeployError(
            f"{firmware} reports an arena of {arena:,} bytes, the plan has "
            f"{compilation.plan.arena_bytes:,}: it is not of this compilation"
        )
    map_text = (settings.folder / "build" / "firmware.map").read_text()
    reason = tflm_available()
    exact = None
    if reason is None:
        outputs = [output.tobytes() for output in answers.outputs]
        exact = equals_interpreter(data, compilation.original, items, outputs)
    return _record(
        compilation, target, settings, built, answers, start_up.instructions, exact, reason,
        measure_flash(Elf(firmware), map_text, compilation),
    )  # fmt: skip


def random_inputs(compilation: Compilation, count: int, seed: int) -> list[list[np.ndarray]]:
    """``count`` items, each an array for every input of the model, of all values alike."""
    rng = np.random.default_rng(seed)
    graph = compilation.original
    items = []
    for _ in range(count):
        arrays = []
        for index in graph.inputs:
            tensor = graph.tensors[index]
            raw = rng.integers(0, 256, tensor.bytes, dtype=np.uint8)
            arrays.append(raw.view(np.dtype(tensor.dtype.numpy)).reshape(tensor.shape))
        items.append(arrays)
    return items


def _record(
    compilation: Compilation,
    target: Target,
    settings: Settings,
    built: BuildResult,
    answers: Answers,
    start_up: int | None,
    exact: bool | None,
    reason: str | None,
    flash: FlashUse,
) -> dict[str, Any]:
    plan, count = compilation.plan, answers.laps[0]
    stack = answers.memory.stack_used
    scratch = _scratch_bytes(compilation)
    static = built.sizes.data + built.sizes.bss
    instructions = [lap.instructions for lap in answers.laps if lap.instructions is not None]
    macs = sum(layer.macs for layer in plan.layers)
    record: dict[str, Any] = {
        "instructions": instructions[0],
        "cycles_estimated": count.cycles_estimated,
        "ram": {
            "activations": plan.arena_bytes - scratch,
            "scratch": scratch,
            "stack": stack,
            "static": static,
            "total": plan.arena_bytes + static + stack,
        },
        "flash": {
            "code": flash.code,
            "engine": flash.engine,
            "tables": flash.tables,
            "weights": flash.weights,
            "total": flash.total,
            "beyond": flash.beyond,
        },
        "exact": exact,
        "layers": layer_rows(compilation, count),
        "outside_layers": outside_share(count),
        "macs": macs,
        "macs_per_instruction": round(macs / instructions[0], 4),
        "macs_removed": compilation.removed_macs,
        "channels_removed": compilation.removed_channels,
        "instructions_range": [min(instructions), max(instructions)],
        "initialization": {
            "instructions": start_up,
            "ram": static,
            "what": "reset to the first command: stack painted, variables set, port started; "
            "the model has none of its own",
        },
        "model": plan.name,
        "tflite_sha256": plan.tflite_sha256,
        "target": target.name,
        "schedule": plan.schedule,
        "streams": len(plan.streams),
        "input": plan.input_mode,
        "int16_weights": sum(
            constant.nbytes
            for layer in compilation.flow.layers
            for field, constant in layer.constants()
            if field == "weights" and constant.fast is not None
        ),
        "inputs_compared": settings.inputs,
        "seed": settings.seed,
        "compiler": built.compiler,
        "flags": built.flags,
        "emulator": answers.emulator,
    }
    if reason is not None:
        record["not_compared"] = reason
    if settings.functions:
        record["functions"] = function_rows(count)
    return record


def _scratch_bytes(compilation: Compilation) -> int:
    """Bytes of the arena that hold no tensor at the moment when it is fullest."""
    timeline, step = compilation.schedule.timeline, compilation.schedule.peak_step
    return sum(
        buffer.bytes
        for buffer in timeline.buffers
        if not buffer.places and buffer.start <= step < buffer.end
        and buffer.high[step - buffer.start] > buffer.low[step - buffer.start]
    )  # fmt: skip
