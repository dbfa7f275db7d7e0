# SPDX-License-Identifier: Apache-2.0
"""Runs many models in one program and compares every output byte there with the interpreter's.

The program is for the host, with the address and undefined-behaviour sanitizers, or for an emulated
Cortex-M. Every model is compiled to C by the product, its public names made its own, and stands
beside inputs and the outputs that the TFLM interpreter gave (the plain host build where that is not
installed). The kernels are compiled once for each build and version of their sources.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest

from deploy.build.host_model import SANITIZERS
from deploy.codegen import compile_model
from deploy.core.places import firmware_root, kernel_includes, kernel_sources
from deploy.tflite import DType, Quantization, parse_graph, read_graph
from deploy.tflite.tflm import TflmModel, tflm_available

HERE = Path(__file__).parent / "target"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
TARGET = ["-mthumb", "-O3", "-ffreestanding", "-ffunction-sections", "-fdata-sections"]
CORES = {
    "cortex-m4": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "cortex-m7": ("mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]),
    "cortex-m3": ("mps2-an385", ["-mcpu=cortex-m3"]),
    "cortex-m0": ("mps2-an385", ["-mcpu=cortex-m0"]),  # its instructions, on an M3
}
HOST = "host"
ITEMS = 3
SECONDS = 600


def require(build: str = "cortex-m4") -> None:
    """Skips a test where a build's compiler or QEMU is missing, and names it."""
    wanted = ("cc",) if build == HOST else ("arm-none-eabi-gcc", "qemu-system-arm")
    absent = [tool for tool in wanted if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")  # `make setup` installs it


def _compiler(build: str) -> list[str]:
    include = [*kernel_includes(), f"-I{HERE}"]
    if build == HOST:
        return ["cc", "-O1", *WARNINGS, *SANITIZERS, *include]
    return ["arm-none-eabi-gcc", *CORES[build][1], *TARGET, *WARNINGS, *include]


def _run(command: list[str], **options: Any) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-4000:]}"


@cache
def _kernels(build: str) -> Path:
    """The kernels' library, kept for other processes and sessions as long as nothing changes."""
    compiler = _compiler(build)
    headers = [p for p in (firmware_root() / "firmware" / "include").iterdir() if p.is_file()]
    sources = [*sorted(headers), *kernel_sources(".c", ".h", ".inc", ".S")]
    digest = hashlib.sha256(repr(compiler).encode())
    digest.update(subprocess.run([compiler[0], "--version"], capture_output=True).stdout)
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    kept = Path(tempfile.gettempdir()) / f"nb_kernels_{os.getuid()}"
    kept.mkdir(mode=0o700, exist_ok=True)
    archive = kept / f"{digest.hexdigest()[:32]}.a"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=kept) as name:
            kernels = kernel_sources(".c") if build == HOST else kernel_sources(".c", ".S")
            _run([*compiler, "-c", *map(str, kernels)], cwd=name)
            objects = [f"{kernel.stem}.o" for kernel in kernels]
            tool = "ar" if build == HOST else "arm-none-eabi-ar"
            _run([tool, "rcs", "kernels.a", *objects], cwd=name)
            os.replace(Path(name) / "kernels.a", archive)
    return archive


def _expected(data: bytes, place: Path, inputs: list[np.ndarray]) -> bytes:
    """For every item the bytes of all outputs, one behind the other."""
    if tflm_available() is not None:
        _, host = golden.compile_for_host(data, place / "host")
        outputs = [array.reshape(ITEMS, -1).view(np.uint8) for array in host.invoke_all(inputs)]
        return np.concatenate(outputs, axis=1).tobytes()
    interpreter = TflmModel(data)
    graph, raw = read_graph(data, "model"), parse_graph(data, "model")
    found = b""
    for item in range(ITEMS):
        fed = []
        for array, index, original in zip(inputs, graph.inputs, raw.inputs, strict=True):
            value = array[item].reshape(graph.tensors[index].shape)
            if raw.tensors[original].dtype is DType.FLOAT32:  # what the caller would quantize
                value = _real(value, graph.tensors[index].quantization)
            fed.append(value)
        interpreter.invoke_all(fed)
        for number, index in enumerate(graph.outputs):
            value = interpreter.output(number)
            if value.dtype == np.float32:
                value = _codes(value, graph.tensors[index].quantization)
            found += value.tobytes()
    return found


def _real(codes: np.ndarray, q: Quantization | None) -> np.ndarray:
    assert q is not None
    return (q.scales[0] * (codes.astype(np.float64) - q.zero_points[0])).astype(np.float32)


def _codes(real: np.ndarray, q: Quantization | None) -> np.ndarray:
    assert q is not None
    codes = np.rint(real.astype(np.float64) / q.scales[0]) + q.zero_points[0]
    assert (_real(codes, q) == real).all()  # nothing but what a DEQUANTIZE can give
    return codes.astype(np.int8)


def prepare(number: int, data: bytes, place: Path, rng: np.random.Generator, **options: Any) -> str:
    """Compile a model to C beside its inputs and expected outputs; returns its plan in words."""
    plan = compile_model(data, place, name="random", **options)
    specs = [(np.dtype(t.type), tuple(t.shape)) for t in plan.inputs]
    inputs = golden.random_items(specs, rng, ITEMS)
    items = [array.reshape(ITEMS, -1).view(np.uint8) for array in inputs]
    (place / "items.bin").write_bytes(np.concatenate(items, axis=1).tobytes())
    (place / "wanted.bin").write_bytes(_expected(data, place, inputs))
    text = (place / "model.h").read_text() + (place / "model.c").read_text()
    names = set(re.findall(r"\bnb_\d{3}\w*", text))
    names |= {"nb_model", "nb_model_input", "nb_model_output", "nb_model_invoke", "nb_arena"}
    names |= {"nb_model_run", "nb_push_row"}
    lines = [f"#define {name} {name}_of_{number}" for name in sorted(names)]
    lines += ['#include "model_weights.c"', '#include "model.c"', '#include "check.h"']
    for what in ("items", "wanted"):
        lines += [
            f'__asm__(".section .rodata\\n{what}_{number}:\\n.incbin \\"{place}/{what}.bin\\"\\n"',
            '        ".previous");',
            f"extern const uint8_t {what}_{number}[];",
        ]
    lines += [
        f"extern const checked_model checked_{number};",
        f"const checked_model checked_{number} = {{&nb_model, nb_model_input, nb_model_output,",
        f"    nb_push_row, nb_model_invoke, items_{number}, wanted_{number}}};",
    ]
    (place / "unit.c").write_text("\n".join(lines) + "\n")
    return f"{plan.schedule}, {plan.input_mode}: {', '.join(la.kernel for la in plan.layers)}"


def run(
    build: str,
    models: list[bytes],
    rng: np.random.Generator,
    folder: Path,
    options: list[dict[str, Any]] | None = None,
) -> str:
    """Compare models in one program.

    Args:
        build: "host" (sanitized) or one of CORES.
        options: of compile_model, for each model.

    Returns:
        The word "equal", or which model and item differ, as the program found them, and the plan.
    """
    plans = []
    for number, data in enumerate(models):
        chosen = options[number] if options is not None else {}
        plans.append(prepare(number, data, folder / str(number), rng, **chosen))
    numbers = range(len(models))
    table = ['#include "check.h"', *(f"extern const checked_model checked_{i};" for i in numbers)]
    listed = ", ".join(f"&checked_{i}" for i in numbers)
    table += [f"const checked_model *const checked_models[] = {{{listed}, 0}};"]
    table += [f"const uint32_t checked_items = {ITEMS};"]
    (folder / "table.c").write_text("\n".join(table) + "\n")
    compiler = _compiler(build)
    objects = []
    for number in numbers:
        place = folder / str(number)
        _run([*compiler, f"-I{place}", "-c", str(place / "unit.c"), "-o", str(place / "unit.o")])
        objects.append(str(place / "unit.o"))
    program = folder / "models.elf"
    fixed = [str(folder / "table.c"), str(HERE / "check.c")]
    if build == HOST:
        fixed += [str(HERE / "host_main.c"), str(_kernels(build))]
        command = [str(program)]
        _run([*compiler, *objects, *fixed, "-o", str(program)])
    else:
        fixed += [str(HERE / "startup.c"), str(_kernels(build)), "-lgcc"]
        link = ["-nostartfiles", "-nostdlib", "-T", str(HERE / "mps2.ld")]
        _run([*compiler, *link, *objects, *fixed, "-o", str(program)])
        command = ["qemu-system-arm", "-M", CORES[build][0], "-display", "none", "-monitor", "none",
                   "-serial", "none", "-semihosting-config", "enable=on,target=native",
                   "-kernel", str(program)]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    said = (result.stdout + result.stderr).strip()
    found = re.search(r"model (\d+) item \d+", said)
    return f"{said} ({plans[int(found[1])]})" if found else said
