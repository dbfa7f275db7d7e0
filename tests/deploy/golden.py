# SPDX-License-Identifier: Apache-2.0
"""Compiles a model for the host and compares it with the TFLM interpreter, byte by byte."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from deploy.build.host_model import HostModel, build_host, build_host_kernels
from deploy.codegen import Plan, compile_model
from deploy.tflite.tflm import TflmModel


@cache
def host_kernels(sanitize: bool = False) -> Path:
    """The kernels, compiled once a session."""
    return build_host_kernels(Path(tempfile.mkdtemp(prefix="nb_kernels_")), sanitize=sanitize)


def random_items(
    specs: list[tuple[np.dtype, tuple[int, ...]]], rng: np.random.Generator, count: int
) -> list[np.ndarray]:
    """``count`` items for every input of a (type, shape); the first is all extremes."""
    arrays = []
    for dtype, shape in specs:
        item = shape[1:] if shape and shape[0] == 1 else shape
        info = np.iinfo(dtype)
        items = rng.integers(info.min, info.max + 1, (count, *item), dtype=dtype)
        items[0] = rng.choice(np.array([info.min, info.max], dtype), item)
        arrays.append(items)
    return arrays


def random_inputs(model: HostModel, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """``count`` items for every input of a host model."""
    return random_items(model.inputs, rng, count)


def compile_for_host(
    data: bytes, folder: Path, *, sanitize: bool = False, **options: Any
) -> tuple[Plan, HostModel]:
    """Compile to C, with ``options`` of compile_model, and load the host build of it."""
    plan = compile_model(data, folder, name="random", **options)
    target = folder / ("model_checked" if sanitize else "model.so")
    built = build_host(folder, target, sanitize=sanitize, kernels=host_kernels(sanitize))
    return plan, HostModel(built)


def differences(
    data: bytes, rng: np.random.Generator, *, items: int = 3, **options: Any
) -> tuple[int, Plan]:
    """How many output bytes differ from the interpreter's, over all outputs."""
    folder = Path(tempfile.mkdtemp(prefix="nb_golden_"))
    try:
        plan, model = compile_for_host(data, folder, **options)
        inputs = random_inputs(model, rng, items)
        outputs = model.invoke_all(inputs)
        interpreter = TflmModel(data)
        wrong = 0
        for item in range(items):
            interpreter.invoke_all(
                [a[item].reshape(shape) for a, (_, shape) in zip(inputs, model.inputs, strict=True)]
            )
            for index, output in enumerate(outputs):
                expected = interpreter.output(index).reshape(output[item].shape)
                wrong += int((expected != output[item]).sum())
        return wrong, plan
    finally:
        shutil.rmtree(folder)
