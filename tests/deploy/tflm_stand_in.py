# SPDX-License-Identifier: Apache-2.0
"""A stand-in for TensorFlow Lite Micro, for tests: its interfaces, and no interpreter of its own.

It answers nothing, or what our own compiled C answers: that lies in the library under other names.
"""

import shutil
import subprocess
from pathlib import Path

from deploy.core.places import kernel_includes, kernel_sources

ROOT = Path(__file__).resolve().parents[2]
CORE = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]

# The interfaces that the glue uses, and no interpreter behind them.
HEADERS = {
    "micro/micro_interpreter.h": """
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteTensor { union { void *raw; } data; };
namespace tflite {
struct Model;
struct MicroOpResolver { int count = 0; };
class MicroInterpreter {
 public:
  MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *, size_t);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor *input(size_t index);
  TfLiteTensor *output(size_t index);
  size_t arena_used_bytes() const;
};
}
""",
    "micro/micro_mutable_op_resolver.h": """
#pragma once
#include "micro_interpreter.h"
namespace tflite {
template <unsigned N> struct MicroMutableOpResolver : MicroOpResolver {
  TfLiteStatus AddConv2D() { return kTfLiteOk; }
  TfLiteStatus AddDepthwiseConv2D() { return kTfLiteOk; }
  TfLiteStatus AddAdd() { return kTfLiteOk; }
  TfLiteStatus AddMean() { return kTfLiteOk; }
  TfLiteStatus AddAveragePool2D() { return kTfLiteOk; }
  TfLiteStatus AddReshape() { return kTfLiteOk; }
  TfLiteStatus AddFullyConnected() { return kTfLiteOk; }
};
}
""",
    "micro/system_setup.h": "namespace tflite { void InitializeTarget(); }\n",
    "schema/schema_generated.h": """
#include "../micro/micro_interpreter.h"
namespace tflite { const Model *GetModel(const void *); }
""",
}
_LIBRARY = """
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"
extern "C" {
void *own_model_input(uint32_t);
void *own_model_output(uint32_t);
void own_model_invoke(void);
}
namespace {
TfLiteTensor tensor;
TfLiteTensor *at(void *place) { tensor.data.raw = place; return &tensor; }
}
namespace tflite {
MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *, size_t) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return kTfLiteOk; }
TfLiteStatus MicroInterpreter::Invoke() { own_model_invoke(); return kTfLiteOk; }
TfLiteTensor *MicroInterpreter::input(size_t) { return at(own_model_input(0)); }
TfLiteTensor *MicroInterpreter::output(size_t) { return at(own_model_output(0)); }
size_t MicroInterpreter::arena_used_bytes() const { return ARENA; }
void InitializeTarget() {}
const Model *GetModel(const void *model) { return static_cast<const Model *>(model); }
}
"""
_SILENT = """
#include <stdint.h>
static uint8_t input[64 * 64 * 3], output[1000];
void *own_model_input(uint32_t index) { (void)index; return input; }
void *own_model_output(uint32_t index) { (void)index; return output; }
void own_model_invoke(void) {}
"""
ARENA = 40_004  # not a multiple of 16


def has_cpp() -> bool:
    compiler = shutil.which("arm-none-eabi-g++")
    if compiler is None or shutil.which("cmake") is None:
        return False
    done = subprocess.run(
        [compiler, "-x", "c++", "-fsyntax-only", "-"],
        input="#include <cstdint>\n",
        text=True,
        capture_output=True,
    )
    return done.returncode == 0


def write_headers(folder: Path) -> None:
    """A folder with the library's headers."""
    for name, text in HEADERS.items():
        path = folder / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "third_party" / "flatbuffers" / "include" / "flatbuffers").mkdir(parents=True)


def build_library(folder: Path, generated: Path | None = None) -> Path:
    """The archive for Cortex-M4; with ``generated`` C inside, it answers as that model does."""
    work = folder / "work"
    work.mkdir()
    wrapper = work / "library.cc"
    wrapper.write_text(_LIBRARY.replace("ARENA", str(ARENA)))
    flags = ["-std=c++17", "-fno-exceptions", "-fno-rtti", f"-I{folder}"]
    _run("g++", "-c", *CORE, *flags, wrapper, "-o", work / "library.o")
    if generated is None:
        (work / "silent.c").write_text(_SILENT)
        _run("gcc", "-c", *CORE, work / "silent.c", "-o", work / "model.o")
    else:
        _wrap(generated, work)
    archive = folder / "libtensorflow-microlite.a"
    _run("ar", "rcs", archive, work / "library.o", work / "model.o")
    return archive


def _wrap(generated: Path, work: Path) -> None:
    """Our kernels and a model as one object, every name ``nb_x`` in it changed to ``own_x``."""
    includes = [*kernel_includes(), f"-I{generated}"]
    objects = []
    for source in [*kernel_sources(".c", ".S"), *sorted(generated.glob("*.c"))]:
        objects.append(work / f"{source.stem}.o")
        options = ["-Os", "-std=c11", "-ffunction-sections", "-fdata-sections"]
        _run("gcc", "-c", *CORE, *options, *includes, source, "-o", objects[-1])
    _run("ld", "-r", *objects, "-o", work / "all.o")
    symbols = _run("nm", "--defined-only", "--extern-only", "--format=posix", work / "all.o")
    names = [line.split()[0] for line in symbols.splitlines()]
    renamed = [f"--redefine-sym={n}=own_{n[3:]}" for n in names if n.startswith("nb_")]
    _run("objcopy", *renamed, work / "all.o", work / "model.o")


def _run(tool: str, *arguments: object) -> str:
    command = [f"arm-none-eabi-{tool}", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
