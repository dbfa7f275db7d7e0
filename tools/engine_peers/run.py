# SPDX-License-Identifier: Apache-2.0
"""Builds and runs a peer's generated C in the emulator session that our own firmware gets."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from deploy.build.elf import Elf
from deploy.devices import QemuDevice, ask
from deploy.targets import Target, load_target
from deploy.tflite.tflm import TflmModel

INPUTS = 4


def peer_target(target: Target, folder: Path) -> Target:
    """The target with plain -O3: our flags suit our kernels."""
    text = re.sub(r"(?m)^cflags = .*$", 'cflags = ["-O3"]', target.file.read_text())
    path = folder / f"{target.name}.toml"
    path.write_text(text)
    return load_target(str(path))


def measure(elf: Path, data: bytes, target: Target, *, reserved: int = 0) -> dict[str, Any]:
    """Instructions, cycles, RAM, flash and whether every output byte is TFLM's.

    Args:
        elf: a firmware whose weights, or model file, are the section ``.weights``.
        data: the .tflite that it was made from, for the interpreter.
        reserved: bytes of an arena in ``.bss`` that is larger than what is used of it; what is
            used is what the firmware reports.

    Raises:
        DeployError: it does not fit, or fails on the target.
    """
    sections = Elf(elf)
    interpreter = TflmModel(data)
    rng = np.random.default_rng(0)
    shape = _input_shape(data)
    items = [
        rng.integers(0, 256, math.prod(shape), dtype=np.uint8).view(np.int8).reshape(shape)
        for _ in range(INPUTS)
    ]
    answers = ask(
        lambda: QemuDevice(target, elf, counter="plugin", timeout=3600.0),
        [item.tobytes() for item in items],
    )
    equal = all(
        interpreter.invoke(item).tobytes() == output.tobytes()
        for item, output in zip(items, answers.outputs, strict=True)
    )
    memory = answers.memory
    static = sum(sections.size(name) for name in (".data", ".bss", ".nb_arena"))
    weights = sections.size(".weights")
    flash = sum(s.size for s in sections.sections if s.loaded and s.bits and s.name != ".stack")
    return {
        "instructions": answers.instructions,
        "cycles_estimated": answers.cycles_estimated,
        "ram": static + memory.stack_used + (memory.arena_bytes - reserved if reserved else 0),
        "code": flash - weights,
        "model_bytes": weights,
        "exact": equal,
    }


def _input_shape(data: bytes) -> tuple[int, ...]:
    from deploy.tflite import parse_graph

    graph = parse_graph(data, "peer")
    return graph.tensors[graph.inputs[0]].shape
