"""Runs many models in one image on an emulated Cortex-M and compares every output byte there.

All models are compiled into one program, each with its public names made its own, beside their
inputs and the outputs that the host build gave. The kernels are compiled once a session and core.
"""

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import golden
import numpy as np

from deploy.build import firmware_root

HERE = Path(__file__).parent / "target"
FLAGS = ["-mthumb", "-O3", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding",
         "-ffunction-sections", "-fdata-sections"]  # fmt: skip
CORES = {
    "cortex-m4": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "cortex-m7": ("mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]),
    "cortex-m3": ("mps2-an385", ["-mcpu=cortex-m3"]),
    "cortex-m0": ("mps2-an385", ["-mcpu=cortex-m0"]),  # its instructions, on an M3
}
ITEMS = 3


def missing_tools() -> str | None:
    """None where the compiler and QEMU are installed, else what is missing."""
    wanted = ("arm-none-eabi-gcc", "qemu-system-arm")
    absent = [tool for tool in wanted if shutil.which(tool) is None]
    return f"{', '.join(absent)} not installed" if absent else None


def _compile(core: str, source: Path, target: Path, *extra: str) -> None:
    include = firmware_root() / "firmware" / "include"
    command = ["arm-none-eabi-gcc", *CORES[core][1], *FLAGS, f"-I{include}", *extra]
    subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True)


@cache
def _kernels(core: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"nb_{core}_"))
    objects = []
    for source in sorted((firmware_root() / "firmware" / "kernels").glob("*.c")):
        objects.append(folder / f"{source.stem}.o")
        _compile(core, source, objects[-1])
    archive = folder / "libkernels.a"
    subprocess.run(["arm-none-eabi-ar", "rcs", str(archive), *map(str, objects)], check=True)
    return archive


def _array(name: str, data: np.ndarray) -> str:
    values = ",".join(str(v) for v in data.reshape(-1).view(np.int8).tolist())
    return f"static const signed char {name}[] = {{{values}}};\n"


def _unit(number: int, folder: Path, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> str:
    """One C file with a model, its data and a check; every public name of the model renamed."""
    text = (folder / "model.h").read_text() + (folder / "model.c").read_text()
    names = sorted(set(re.findall(r"\bnb_(?:layer_)?\d{3}\w*", text)))
    names += ["nb_model", "nb_model_input", "nb_model_output", "nb_model_invoke", "nb_arena"]
    names += ["nb_model_steps", "nb_push_row"]
    lines = [f"#define {name} {name}_of_{number}\n" for name in names]
    lines += ['#include "model_weights.c"\n', '#include "model.c"\n']
    lines += [_array(f"input{i}", a) for i, a in enumerate(inputs)]
    lines += [_array(f"output{i}", a) for i, a in enumerate(outputs)]
    lines.append(f"int check_{number}(void);\nint check_{number}(void) {{\n")
    lines.append(f"  for (unsigned item = 0; item < {ITEMS}; item++) {{\n")
    for i, array in enumerate(inputs):
        size = array.nbytes // ITEMS
        lines.append(
            f"    for (unsigned b = 0; b < {size}; b++) "
            f"((signed char *)nb_model_input({i}))[b] = input{i}[item * {size} + b];\n"
        )
    lines.append("    nb_model_invoke();\n")
    for i, array in enumerate(outputs):
        size = array.nbytes // ITEMS
        lines.append(
            f"    for (unsigned b = 0; b < {size}; b++) if (((const signed char *)"
            f"nb_model_output({i}))[b] != output{i}[item * {size} + b]) return (int)item;\n"
        )
    lines.append("  }\n  return -1;\n}\n")
    return "".join(lines)


def run(core: str, models: list[bytes], rng: np.random.Generator, folder: Path) -> str:
    """The word "equal", or which model and item differ from the host, as the core found them."""
    objects = []
    for number, data in enumerate(models):
        place = folder / str(number)
        _, host = golden.compile_for_host(data, place)
        inputs = golden.random_inputs(host, rng, ITEMS)
        source = place / "unit.c"
        source.write_text(_unit(number, place, inputs, host.invoke_all(inputs)))
        objects.append(place / "unit.o")
        _compile(core, source, objects[-1])
    table = "".join(f"int check_{i}(void);\n" for i in range(len(models)))
    table += "int run_models(int *item);\nint run_models(int *item) {\n"
    for i in range(len(models)):
        table += f"  if ((*item = check_{i}()) >= 0) return {i};\n"
    (folder / "table.c").write_text(table + "  return -1;\n}\n")
    for source in (folder / "table.c", HERE / "startup.c"):
        objects.append(folder / f"{source.stem}.o")
        _compile(core, source, objects[-1])
    elf = folder / "models.elf"
    machine, flags = CORES[core]
    subprocess.run(
        ["arm-none-eabi-gcc", *flags, "-mthumb", "-nostartfiles", "-nostdlib",
         "-T", str(HERE / "mps2.ld"), *map(str, objects), str(_kernels(core)), "-lgcc",
         "-o", str(elf)],
        check=True,
    )  # fmt: skip
    result = subprocess.run(
        ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none",
         "-serial", "none", "-semihosting-config", "enable=on,target=native",
         "-kernel", str(elf)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return (result.stdout + result.stderr).strip()
