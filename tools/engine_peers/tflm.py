# SPDX-License-Identifier: Apache-2.0
"""A prebuilt TFLM library behind the door that our harness opens.

The library comes from TFLM's own makefile (`make -f tensorflow/lite/micro/tools/make/Makefile
TARGET=cortex_m_generic TARGET_ARCH=cortex-m4+fp microlite`, with OPTIMIZED_KERNEL_DIR=cmsis_nn or
without); its folder also has the headers. The project neither downloads nor builds it.
"""

import re
import subprocess
from pathlib import Path

from deploy.build.firmware import build_firmware
from deploy.targets import Target, load_target
from deploy.tflite import parse_graph
from engine_peers.bakenn import PeerUnavailableError

STACK_BYTES = 16384  # the interpreter's set-up needs more than an inference
ARENA_BYTES = 1 << 20  # what it uses of it is asked and counted
_DOWNLOADS = "tensorflow/lite/micro/tools/make/downloads"
_ADD = {
    "ADD": "Add", "AVERAGE_POOL_2D": "AveragePool2D", "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "FULLY_CONNECTED": "FullyConnected", "MAX_POOL_2D": "MaxPool2D", "MEAN": "Mean", "PAD": "Pad",
    "RESHAPE": "Reshape", "SOFTMAX": "Softmax",
}  # fmt: skip

_DOOR = """// TFLM's interpreter behind nb_model.h.
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "nb_model.h"

extern "C" const unsigned char tflm_model[];
alignas(16) static uint8_t tflm_arena[ARENA_BYTES];
alignas(8) static uint8_t storage[sizeof(tflite::MicroInterpreter)];
static tflite::MicroInterpreter *interpreter;

static const nb_tensor_info inputs[] = {{"input", NB_INT8, 1, {IN_BYTES}, IN_BYTES, 1.0f, 0}};
static const nb_tensor_info outputs[] = {{"output", NB_INT8, 1, {OUT_BYTES}, OUT_BYTES, 1.0f, 0}};

// The harness only reads it; the arena's size is known after the set-up.
extern nb_model_info writable_model __asm__("nb_model");
nb_model_info writable_model = {"tflm", "", 0, 0, 0, 1, 1, 0, 0, inputs, outputs, IN_BYTES, 0};

static void set_up() {
  using Resolver = tflite::MicroMutableOpResolver<OPERATORS>;
  alignas(8) static uint8_t place[sizeof(Resolver)];  // never destroyed
  Resolver &resolver = *new (place) Resolver;
  ADD_OPERATORS
  interpreter = new (storage) tflite::MicroInterpreter(
      tflite::GetModel(tflm_model), resolver, tflm_arena, sizeof tflm_arena);
  interpreter->AllocateTensors();
  writable_model.arena_bytes = static_cast<uint32_t>(interpreter->arena_used_bytes());
}

extern "C" void *nb_model_input(uint32_t index) {
  if (interpreter == nullptr) set_up();
  return interpreter->input(index)->data.raw;
}

extern "C" const void *nb_model_output(uint32_t index) {
  return interpreter->output(index)->data.raw;
}

extern "C" int nb_push_row(const void *row) {
  (void)row;
  return 0;
}

extern "C" void nb_model_invoke(void) { interpreter->Invoke(); }

extern "C" uint32_t nb_model_run(uint32_t layer) { return layer + 1; }
"""

# Takes the door's place while CMake builds harness and port.
_STUB = """#include "nb_model.h"
extern const unsigned char tflm_model[];
const nb_model_info nb_model = {.arena_bytes = 0};
void *nb_model_input(uint32_t index) { return (void *)(tflm_model + index); }
const void *nb_model_output(uint32_t index) { return tflm_model + index; }
int nb_push_row(const void *row) { return row != 0; }
void nb_model_invoke(void) {}
uint32_t nb_model_run(uint32_t layer) { return layer + 1; }
"""


def peer_target(target: Target, folder: Path) -> Target:
    """The target with plain -O3 and a larger stack."""
    text = re.sub(r"(?m)^cflags = .*$", 'cflags = ["-O3"]', target.file.read_text())
    text = re.sub(r"(?m)^stack_bytes = .*$", f"stack_bytes = {STACK_BYTES}", text)
    path = folder / f"{target.name}.toml"
    path.write_text(text)
    return load_target(str(path))


def build(tree: Path, data: bytes, target: Target, folder: Path) -> Path:
    """A firmware with the interpreter in it.

    Args:
        tree: TFLM's source folder with ``libtensorflow-microlite.a`` somewhere in it.
        target: from :func:`peer_target`.

    Raises:
        PeerUnavailableError: no library there, or it does not link (says why).
    """
    libraries = sorted(tree.rglob("libtensorflow-microlite.a"))
    if not libraries:
        raise PeerUnavailableError(f"{tree} holds no libtensorflow-microlite.a")
    graph = parse_graph(data, "tflm")
    kinds = sorted({op.kind for op in graph.operators})
    unknown = [kind for kind in kinds if kind not in _ADD]
    if unknown:
        raise PeerUnavailableError(f"this tool registers no {', '.join(unknown)} with TFLM")
    generated, build_dir = folder / "generated", folder / "build"
    generated.mkdir(parents=True)
    values = ",".join(map(str, data))
    (generated / "model_weights.c").write_text(
        "extern const unsigned char tflm_model[];\n"
        f"_Alignas(16) const unsigned char tflm_model[] = {{{values}}};\n"
    )
    (generated / "stub.c").write_text(_STUB)
    build_firmware(generated, target, folder / "stub.elf", build_dir=build_dir)
    door = _DOOR.replace("ADD_OPERATORS", " ".join(f"resolver.Add{_ADD[k]}();" for k in kinds))
    for word, value in (
        ("OPERATORS", len(kinds)), ("ARENA_BYTES", ARENA_BYTES),
        ("IN_BYTES", graph.tensors[graph.inputs[0]].bytes),
        ("OUT_BYTES", graph.tensors[graph.outputs[0]].bytes),
    ):  # fmt: skip
        door = door.replace(word, str(value))
    source, elf = folder / "door.cc", folder / "firmware.elf"
    source.write_text(door)
    machine = ["-mthumb", f"-mcpu={target.core}", "-mfloat-abi=hard", f"-mfpu={target.fpu}"]
    include = Path(__file__).resolve().parents[2] / "firmware" / "include"
    includes = [include, tree, *(tree / _DOWNLOADS / name for name in (
        "flatbuffers/include", "gemmlowp", "ruy"))]  # fmt: skip
    _run([
        "arm-none-eabi-g++", *machine, "-O3", "-std=c++17", "-fno-rtti", "-fno-exceptions",
        "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections",
        "-DTF_LITE_STATIC_MEMORY", *(f"-I{path}" for path in includes),
        "-c", str(source), "-o", str(folder / "door.o"),
    ])  # fmt: skip
    objects = [
        path for path in sorted(build_dir.rglob("*.obj"))
        if "firmware.dir" in path.parts or path.name == "model_weights.c.obj"
    ]  # fmt: skip
    script = next(iter(sorted(build_dir.rglob("link.ld"))))
    _run([
        "arm-none-eabi-g++", *machine, "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs",
        f"-T{script}", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments",
        "-Wl,--defsym,end=nb_bss_end",  # what malloc would want, if anything called it
        *map(str, objects), str(folder / "door.o"), str(libraries[0]), "-lm", "-o", str(elf),
    ])  # fmt: skip
    return elf


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailableError(f"{command[0]} does not run: {error}") from error
    if done.returncode != 0:
        lines = [li for li in done.stderr.splitlines() if "error" in li or "undefined" in li]
        raise PeerUnavailableError(f"TFLM does not link: {(lines or ['no reason given'])[0]}")
