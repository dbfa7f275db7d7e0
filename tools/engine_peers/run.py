"""Builds and runs a peer's generated C in the emulator session that our own firmware gets."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from deploy.build import build_firmware
from deploy.elf import Elf
from deploy.emulate import QemuSession
from deploy.errors import DeployError
from deploy.targets import Target, load_target
from deploy.tflm import TflmModel

INPUTS = 4


def peer_target(target: Target, folder: Path) -> Target:
    """The target with plain -O3: our flags suit our kernels."""
    text = re.sub(r"(?m)^cflags = .*$", 'cflags = ["-O3"]', target.file.read_text())
    path = folder / f"{target.name}.toml"
    path.write_text(text)
    return load_target(str(path))


def measure(generated: Path, data: bytes, target: Target, folder: Path) -> dict[str, Any]:
    """Instructions, cycles, RAM, flash and whether every output byte is TFLM's.

    Args:
        generated: a folder that defines what nb_model.h declares.
        data: the .tflite that it was made from, for the interpreter.

    Raises:
        DeployError: it does not build, does not fit, or fails on the target.
    """
    elf = folder / "firmware.elf"
    built = build_firmware(generated, target, elf)
    interpreter = TflmModel(data)
    rng = np.random.default_rng(0)
    counts, equal = [], True
    with QemuSession(target, elf) as session:
        size = sum(tensor["bytes"] for tensor in session.banner["inputs"])
        for _ in range(INPUTS):
            item = rng.integers(0, 256, size, dtype=np.uint8)
            session.link.load_input(item.tobytes())
            counts.append(session.infer(timeout=3600))
            if "cycles_estimated" not in counts[-1]:
                raise DeployError("peers are counted with the plugin only; see netbooster doctor")
            shape = _input_shape(data)
            expected = interpreter.invoke(item.view(np.int8).reshape(shape))
            equal &= expected.tobytes() == session.link.output()
        stack = session.link.memory().stack_used
    weights = Elf(elf).size(".weights")
    return {
        "instructions": counts[0]["instructions"],
        "cycles_estimated": counts[0]["cycles_estimated"],
        "ram": built.sizes.data + built.sizes.bss + built.sizes.arena + stack,
        "code": built.sizes.flash_total - weights,
        "model_bytes": weights,
        "exact": bool(equal),
        "compiler": built.compiler,
        "flags": built.flags,
    }


def _input_shape(data: bytes) -> tuple[int, ...]:
    from deploy.graph import parse_graph

    graph = parse_graph(data, "peer")
    return graph.tensors[graph.inputs[0]].shape
