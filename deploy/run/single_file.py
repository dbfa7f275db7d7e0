"""What `emulate` does with a single .tflite file, without a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.cli.console import console, say
from deploy.core.errors import DeployError
from deploy.run.building import build
from deploy.run.engine import Engine
from netbooster.common.files import read_bytes

if TYPE_CHECKING:
    from deploy.devices import EmulationResult
    from deploy.targets import Target


def emulate_file(
    tflite: Path,
    target: "Target",
    engine: Engine,
    *,
    images: int,
    emulator: str | None,
    max_instructions: int,
) -> dict[str, Any]:
    """Build a file and run random images; every output byte must be the TFLM interpreter's.

    Raises:
        DeployError: it does not fit or run, or the answers differ.
    """
    from deploy.devices import run_images

    inputs = _random_images(read_bytes(tflite), tflite.stem, images)
    firmware = build(
        tflite,
        target=target.reference,
        engine=engine.name,
        tflm_dir=engine.tflm_dir,
        console=console,
    )
    sizes = firmware.sizes
    result = run_images(
        target, firmware.elf, inputs, emulator=emulator, max_instructions=max_instructions
    )
    reason = _compare(tflite, inputs, result)
    cycles = result.cycles_estimated
    ram, flash = sizes.ram_static + result.stack_high_water, sizes.flash_total
    say(
        "emulate",
        f"{tflite.stem} on {target.name}, engine {engine.name}, {result.emulator}: "
        f"{result.instructions:,} instructions an inference ({result.counting})"
        + ("" if cycles is None else f"; {cycles:,} cycles estimated"),
    )
    memories = target.flash.length if target.flash else 0
    say(
        "emulate",
        f"RAM {ram:,} of {target.ram_bytes:,} bytes (arena {sizes.arena:,}, stack "
        f"{result.stack_high_water:,}), flash {flash:,} of {memories:,}",
    )
    say(
        "emulate",
        f"not compared with TFLM: {reason}"
        if reason
        else f"every output byte of {len(inputs)} random images equals the TFLM interpreter's",
    )
    return {
        "engine": engine.name,
        "target": target.name,
        "emulator": result.emulator,
        "counting": result.counting,
        "instructions": result.instructions,
        "cycles_estimated": cycles,
        "ram": {"arena": sizes.arena, "static": sizes.ram_static, "stack": result.stack_high_water},
        "flash": {"code": sizes.code, "tables": sizes.tables, "weights": sizes.weights},
        "exact": None if reason else True,
    }


def _random_images(data: bytes, name: str, count: int) -> np.ndarray:
    from deploy.tflite import parse_graph

    graph = parse_graph(data, name)
    if len(graph.inputs) != 1:
        raise DeployError(f"{name}: {len(graph.inputs)} inputs; emulate takes models with one")
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    return np.random.default_rng(0).integers(-128, 128, (count, *shape), dtype=np.int8)


def _compare(tflite: Path, inputs: np.ndarray, result: "EmulationResult") -> str | None:
    from deploy.tflite.tflm import TflmModel, tflm_available

    if reason := tflm_available():
        return reason
    interpreter = TflmModel(tflite.read_bytes())
    for index, image in enumerate(inputs):
        golden = np.asarray(interpreter.invoke(image[None])).reshape(-1)
        different = int((golden != result.outputs[index].reshape(-1)).sum())
        if different:
            raise DeployError(
                f"{tflite.stem}: the firmware and the TFLM interpreter disagree in {different} of "
                f"{golden.size} output bytes at random image {index}"
            )
    return None
