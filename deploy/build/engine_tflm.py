"""The same firmware with TensorFlow Lite Micro's interpreter in it, for a comparison.

The user builds the library; we link it with our harness and port, and the flatbuffer as it is.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.build.firmware import BuildResult, build_firmware
from deploy.core.errors import DeployError
from deploy.core.files import write_atomic
from deploy.devices import open_session
from deploy.targets import Target, load_target, target_names
from deploy.tflite import DType, Graph, Tensor, parse_graph

STACK_BYTES = 8192  # the interpreter's calls nest deeper than ours
_LIBRARY = "libtensorflow-microlite.a"
_GIVE = (
    "give --tflm-dir DIR: a source tree of tflite-micro in which you built the library for this "
    "core (make -f tensorflow/lite/micro/tools/make/Makefile TARGET=cortex_m_generic "
    "TARGET_ARCH=cortex-m4+fp microlite), or a folder with its headers and " + _LIBRARY
)

# Names of the schema's operators whose method is not simply AddCamelCase.
_METHODS = {
    "ADD": "AddAdd",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "MAX_POOL_2D": "AddMaxPool2D",
}


@dataclass(frozen=True)
class TflmLibrary:
    """Where the user's library lies: the archive, and the folders of headers."""

    archive: Path
    includes: list[Path]


def find_library(folder: Path | None, target: Target) -> TflmLibrary:
    """Library and headers in a source tree, or in a folder with both.

    Raises:
        DeployError: something is missing; says what to give.
    """
    if folder is None:
        raise DeployError(f"the engine tflm needs a library: {_GIVE}")
    if not (folder / "tensorflow" / "lite" / "micro" / "micro_interpreter.h").is_file():
        raise DeployError(f"{folder} has no tensorflow/lite/micro/micro_interpreter.h; {_GIVE}")
    found = [folder / _LIBRARY, folder / "lib" / _LIBRARY]
    found += sorted(folder.glob(f"gen/*{target.core}*/lib/{_LIBRARY}"))
    archive = next((path for path in found if path.is_file()), None)
    if archive is None:
        raise DeployError(f"{folder} has no {_LIBRARY} for {target.core}; {_GIVE}")
    roots = [folder / "third_party", folder / "tensorflow/lite/micro/tools/make/downloads"]
    flatbuffers = [root / "flatbuffers" / "include" for root in roots]
    header = next((path for path in flatbuffers if (path / "flatbuffers").is_dir()), None)
    if header is None:
        raise DeployError(f"{folder} has no headers of flatbuffers (in {flatbuffers[0]}); {_GIVE}")
    others = [header.parents[1] / name for name in ("gemmlowp", "ruy")]
    includes = [folder, header, *(path for path in others if path.is_dir())]
    return TflmLibrary(archive.resolve(), [path.resolve() for path in includes])


def build_tflm(
    data: bytes,
    name: str,
    target: Target,
    library: TflmLibrary,
    folder: Path,
    out_elf: Path,
    *,
    arena: int,
) -> BuildResult:
    """Build the firmware with the interpreter.

    Args:
        data: the .tflite file, which lies in flash as it is.
        folder: for the generated files.
        arena: bytes for the interpreter.

    Raises:
        DeployError: the model has no int8 or uint8 border, or the firmware does not link or fit.
    """
    if not target.is_bare_metal:
        raise DeployError("the engine tflm is for boards and emulated ones, not for the host")
    graph = parse_graph(data, name)
    for file, text in _files(graph, data, arena).items():
        write_atomic(folder / file, text)
    (folder / "model.tflite").write_bytes(data)
    return build_firmware(
        folder,
        target,
        out_elf,
        definitions={
            "NB_TFLM_LIBRARY": str(library.archive),
            "NB_TFLM_INCLUDES": ";".join(str(path) for path in library.includes),
            "NB_STACK_BYTES": str(max(STACK_BYTES, target.stack_bytes or 0)),
        },
    )


def arena_used(data: bytes, name: str, target: Target, library: TflmLibrary, folder: Path) -> int:
    """Bytes that the interpreter uses for a model, rounded up to 16.

    It is asked on the largest machine of the same core that QEMU knows: how much it uses depends
    on the library and the model, not on the board.

    Raises:
        DeployError: QEMU is missing, or the interpreter refuses the model.
    """
    machine = _machine(target)
    assert machine.ram is not None
    half = machine.ram.length // 2  # more than any board has
    elf = build_tflm(data, name, machine, library, folder, folder / "ask.elf", arena=half).elf
    with open_session(machine, elf, emulator="qemu", plugin=False) as session:
        used = session.link.memory().arena_bytes
    elf.unlink()
    return max(16, (used + 15) & ~15)


def _machine(target: Target) -> Target:
    known = [
        machine
        for machine in map(load_target, target_names())
        if machine.core == target.core and machine.emulator and machine.emulator.qemu_machine
    ]
    if not known:
        raise DeployError(f"QEMU knows no machine with {target.name}'s core, {target.core}")
    return max(known, key=lambda machine: machine.ram_bytes)


def _files(graph: Graph, data: bytes, arena: int) -> dict[str, str]:
    methods = sorted({_method(operator.kind) for operator in graph.operators})
    inputs = [graph.tensors[index] for index in graph.inputs]
    outputs = [graph.tensors[index] for index in graph.outputs]
    header = f"""/* Generated by netbooster: the operators of one .tflite file. */
#include <stdint.h>
#define NB_TFLM_ARENA_BYTES {arena}
#define NB_TFLM_OPERATORS {len(methods)}
extern "C" const uint8_t nb_tflm_flatbuffer[];
template <typename Resolver>
static void nb_tflm_add_operators(Resolver &resolver) {{
{"".join(f"  (void)resolver.{method}();{chr(10)}" for method in methods)}}}
"""
    source = f"""/* Generated by netbooster: what the harness is told of one .tflite file. */
#include "nb_model.h"
__attribute__((section(".nb_weights"), aligned(16))) const uint8_t nb_tflm_flatbuffer[] = {{
{_bytes(data)}
}};
static const nb_tensor_info input_infos[] = {{{", ".join(map(_info, inputs))}}};
static const nb_tensor_info output_infos[] = {{{", ".join(map(_info, outputs))}}};
const nb_model_info nb_model = {{
    .name = {json.dumps(graph.name)},
    .sha256 = "{graph.sha256}",
    .arena_bytes = {arena}u,
    .weights_bytes = {len(data)}u,
    .input_count = {len(inputs)}u,
    .output_count = {len(outputs)}u,
    .inputs = input_infos,
    .outputs = output_infos,
}};
"""
    plan = {"name": graph.name, "weights_bytes": len(data), "arena_bytes": arena, "layers": []}
    return {
        "nb_tflm_model.h": header,
        "model.c": source,
        "plan.json": json.dumps(plan, indent=1) + "\n",
    }


def _method(kind: str) -> str:
    return _METHODS.get(kind) or "Add" + "".join(part.title() for part in kind.split("_"))


def _bytes(data: bytes) -> str:
    return "\n".join(
        ",".join(str(byte) for byte in data[start : start + 24]) + ","
        for start in range(0, len(data), 24)
    )


def _info(tensor: Tensor) -> str:
    quantization = tensor.quantization
    if tensor.dtype not in (DType.INT8, DType.UINT8) or quantization is None:
        raise DeployError(
            f"{tensor.label} is {tensor.dtype.numpy}; the harness takes int8 and uint8 alone"
        )
    shape = list(tensor.shape[:4])
    kind = "NB_INT8" if tensor.dtype is DType.INT8 else "NB_UINT8"
    return (
        f"{{{json.dumps(tensor.name)}, {kind}, {len(shape)}, {{{', '.join(map(str, shape))}}}, "
        f"{tensor.bytes}u, {quantization.scales[0]!r}f, {quantization.zero_points[0]}}}"
    )
