# SPDX-License-Identifier: Apache-2.0
"""Builds firmware from a folder of generated C, with CMake and the target's compiler."""

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.build.elf import Elf
from deploy.core.errors import DeployError
from deploy.core.places import firmware_root
from deploy.targets import Target
from netbooster.common.files import write_atomic

_BUILD_SECONDS = 600
_INSTALL = {
    "cmake": ("sudo apt-get install cmake", "brew install cmake"),
    "arm-none-eabi-gcc": (
        "sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "brew install --cask gcc-arm-embedded",
    ),
    "cc": ("sudo apt-get install build-essential", "xcode-select --install"),
}


@dataclass(frozen=True)
class Sizes:
    """Bytes of a firmware, from its ELF sections.

    Attributes:
        code: flash beyond weights, tables and data: vectors, instructions, other constants.
        tables: requantization tables and biases.
        weights: the weights alone.
        data: initialized variables (in flash and in RAM).
        bss: zeroed variables.
        arena: the model's activations and scratch.
        flash_total: everything in flash.
        ram_static: data + bss + arena; the stack comes on top.
    """

    code: int
    tables: int
    weights: int
    data: int
    bss: int
    arena: int
    flash_total: int
    ram_static: int


@dataclass(frozen=True)
class BuildResult:
    """A built firmware; ``sizes`` are zero for the host."""

    elf: Path
    sizes: Sizes
    compiler: str
    flags: str


def missing_tool(name: str) -> DeployError:
    """The error for a missing program: how to install it."""
    apt, brew = _INSTALL[name]
    remedy = brew if platform.system() == "Darwin" else apt
    return DeployError(f"{name} is not installed; install it with: {remedy}")


def build_firmware(
    generated: Path,
    target: Target,
    out_elf: Path,
    *,
    build_dir: Path | None = None,
    sanitize: bool = False,
    definitions: Mapping[str, str] | None = None,
) -> BuildResult:
    """Compile generated C, kernels, harness and port into one program.

    Args:
        generated: folder with ``model.c`` and, for error messages and sizes, ``plan.json``.
        out_elf: written atomically; it keeps its old bytes where the build fails.
        build_dir: kept for inspection; by default a temporary folder.
        sanitize: host only: with address and undefined-behaviour sanitizers.
        definitions: more variables for CMake.

    Raises:
        DeployError: compiler or CMake missing (says how to install it), the generated code does
            not compile, or the program is too large for the target's flash or RAM (says by how
            many bytes, and which layer is the largest).
    """
    compiler = "arm-none-eabi-gcc" if target.is_bare_metal else os.environ.get("CC", "cc")
    for tool in ("cmake", compiler):
        if shutil.which(tool) is None:
            raise missing_tool(tool if tool in _INSTALL else "cc")
    if not list(generated.glob("*.c")):
        raise DeployError(f"{generated} holds no generated C; run `netbooster compile` first")
    variables = {"NB_SANITIZE": "ON" if sanitize else "OFF", **(definitions or {})}
    if build_dir is not None:
        return _build(generated, target, out_elf, build_dir, compiler, variables)
    with tempfile.TemporaryDirectory(prefix="nb-build-") as folder:
        return _build(generated, target, out_elf, Path(folder), compiler, variables)


def _build(
    generated: Path,
    target: Target,
    out_elf: Path,
    build: Path,
    compiler: str,
    variables: Mapping[str, str],
) -> BuildResult:
    root = firmware_root()
    configure = [
        "cmake",
        f"-S{root}",
        f"-B{build}",
        f"-G{'Ninja' if shutil.which('ninja') else 'Unix Makefiles'}",
        f"-DNB_TARGET_FILE={target.file}",
        f"-DNB_GENERATED_DIR={generated.resolve()}",
        *(f"-D{key}={value}" for key, value in variables.items()),
        f"-DCMAKE_C_COMPILER={compiler}",
    ]
    if target.is_bare_metal:
        toolchain = root / "firmware" / "cmake" / "arm-none-eabi.cmake"
        configure.append(f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    done = _run(configure)
    if done.returncode != 0:
        raise DeployError(f"cmake cannot configure {target.name}: {_first_error(done.stdout)}")
    done = _run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)])
    if done.returncode != 0:
        _raise_too_large(done.stdout, generated, target)
        raise DeployError(
            f"{generated} does not compile for {target.name}: {_first_error(done.stdout)}"
        )
    elf = build / "firmware.elf"
    sizes = _sizes(elf, generated) if target.is_bare_metal else Sizes(0, 0, 0, 0, 0, 0, 0, 0)
    write_atomic(out_elf, elf.read_bytes())
    if not target.is_bare_metal:
        out_elf.chmod(0o755)
    version = _run([compiler, "--version"]).stdout.splitlines()
    return BuildResult(out_elf, sizes, version[0] if version else compiler, " ".join(target.cflags))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"{command[0]} took longer than {_BUILD_SECONDS} s") from error
    except OSError as error:
        raise DeployError(f"cannot run {command[0]}: {error.strerror}") from error


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if "undefined reference to" in line:
            return line
        if re.search(r"\b(fatal )?error\b", line, re.IGNORECASE):
            follow = lines[lines.index(line) + 1 :][:1] if line.startswith("CMake Error") else []
            return " ".join([line, *follow])
    return lines[-1] if lines else "no output"


def _read_plan(generated: Path) -> dict[str, Any]:
    path = generated / "plan.json"
    if not path.is_file():
        return {}
    try:
        plan = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} is damaged; run `netbooster compile` again") from error
    return plan if isinstance(plan, dict) else {}


def _raise_too_large(log: str, generated: Path, target: Target) -> None:
    """Turns the linker's overflow into bytes, and names what takes most of that memory."""
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", log)
    if not overflows:
        return
    plan = _read_plan(generated)
    messages = []
    for region, excess in dict(overflows).items():
        memory = {"FLASH": target.flash, "FAST": target.fast_ram}.get(region, target.ram)
        limit = f" of {memory.length:,}" if memory else ""
        name = {"FLASH": "flash", "FAST": "fast RAM"}.get(region, "RAM")
        culprit = _largest_flash(plan) if region == "FLASH" else ""
        if region == "RAM":
            culprit = _largest_ram(plan)
        messages.append(f"{int(excess):,} bytes over {target.name}'s {name}{limit}{culprit}")
    raise DeployError(
        f"{plan.get('name', generated)} is too large: {'; '.join(messages)}; "
        "take a smaller width or resolution, or a larger board"
    )


def _largest_flash(plan: dict[str, Any]) -> str:
    layers = plan.get("layers", [])
    if not layers:
        return ""

    def flash(layer: dict[str, Any]) -> int:
        return int(layer.get("weight_bytes", 0)) + int(layer.get("table_bytes", 0))

    largest = max(layers, key=flash)
    return f" (largest: layer {largest['name']}, {flash(largest):,} bytes of weights and tables)"


def _largest_ram(plan: dict[str, Any]) -> str:
    peak = plan.get("arena_peak_layer")
    if isinstance(peak, int) and 0 <= peak < len(plan.get("layers", [])):
        peak = plan["layers"][peak]["name"]
    return f" (the arena takes {int(plan['arena_bytes']):,}, at layer {peak})" if peak else ""


def _sizes(path: Path, generated: Path) -> Sizes:
    elf = Elf(path)
    data, bss, arena = elf.size(".data"), elf.size(".bss"), elf.size(".nb_arena")
    flash = data + sum(
        s.size for s in elf.sections if s.loaded and s.bits and s.name not in (".data", ".stack")
    )
    weights, tables = elf.size(".weights"), elf.size(".tables")
    # One file holds weights and tables; the plan says how much of it are weights.
    planned = int(_read_plan(generated).get("weights_bytes", weights + tables))
    weights, tables = min(planned, weights + tables), max(0, weights + tables - planned)
    return Sizes(
        code=flash - data - weights - tables,
        tables=tables,
        weights=weights,
        data=data,
        bss=bss,
        arena=arena,
        flash_total=flash,
        ram_static=data + bss + arena,
    )
