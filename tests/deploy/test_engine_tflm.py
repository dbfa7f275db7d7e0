"""The engine tflm: what it asks for, and that its glue compiles and links against a stand-in."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.engine_tflm import build_tflm, find_library
from deploy.errors import DeployError
from deploy.targets import load_target

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "tests" / "data" / "peers" / "small_32_int8.tflite"
BOARD = load_target("mps2-an386")

# The interfaces that the glue uses, and no interpreter behind them.
_HEADERS = {
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
namespace tflite {
MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *, size_t) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return kTfLiteOk; }
TfLiteStatus MicroInterpreter::Invoke() { return kTfLiteOk; }
TfLiteTensor *MicroInterpreter::input(size_t) { return nullptr; }
TfLiteTensor *MicroInterpreter::output(size_t) { return nullptr; }
size_t MicroInterpreter::arena_used_bytes() const { return 0; }
void InitializeTarget() {}
const Model *GetModel(const void *model) { return static_cast<const Model *>(model); }
}
"""


def _has_cpp() -> bool:
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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tflite-micro"
    for name, text in _HEADERS.items():
        path = folder / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "third_party" / "flatbuffers" / "include" / "flatbuffers").mkdir(parents=True)
    return folder


def test_it_says_what_to_give(tree: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(DeployError, match="needs a library: give --tflm-dir DIR"):
        find_library(None, BOARD)
    with pytest.raises(DeployError, match=r"has no tensorflow/lite/micro/micro_interpreter\.h"):
        find_library(tmp_path, BOARD)
    with pytest.raises(DeployError, match=r"has no libtensorflow-microlite\.a for cortex-m4"):
        find_library(tree, BOARD)
    for arguments, message in (
        ([str(PEER), "--engine", "tflm"], "needs a library"),
        ([str(PEER), "--engine", "x"], "unknown engine 'x'; known: nb, tflm"),
        ([str(tmp_path), "--engine", "tflm"], "takes a .tflite file"),
    ):
        with pytest.raises(SystemExit) as done:
            main(["build", *arguments, "--output", str(tmp_path / "x.elf")])
        error = capsys.readouterr().err
        assert done.value.code == 2 and message in error and error.count("\n") == 1


@pytest.mark.skipif(
    not _has_cpp(),
    reason="arm-none-eabi-g++ with its C++ library (libstdc++-arm-none-eabi-newlib) or cmake is "
    "not installed",
)
def test_the_glue_links_a_library_with_the_flatbuffer_as_it_is(tree: Path, tmp_path: Path) -> None:
    source = tmp_path / "library.cc"
    source.write_text(_LIBRARY)
    core = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
    flags = ["-std=c++17", "-fno-exceptions", "-fno-rtti", f"-I{tree}"]
    item = tmp_path / "library.o"
    subprocess.run(["arm-none-eabi-g++", "-c", *core, *flags, source, "-o", item], check=True)
    archive = tree / "libtensorflow-microlite.a"
    subprocess.run(["arm-none-eabi-ar", "rcs", archive, item], check=True)
    library = find_library(tree, BOARD)
    assert library.archive == archive
    data = PEER.read_bytes()
    folder = tmp_path / "generated"
    result = build_tflm(data, "small", BOARD, library, folder, tmp_path / "fw.elf", arena=40_000)
    assert result.sizes.weights == len(data)
    assert result.sizes.arena == 40_000
    assert data in result.elf.read_bytes()
    assert json.loads((folder / "plan.json").read_text())["weights_bytes"] == len(data)
    with pytest.raises(DeployError, match="not for the host"):
        build_tflm(data, "small", load_target("host"), library, folder, tmp_path / "x")
