# SPDX-License-Identifier: Apache-2.0
"""Generates C with bakenn (PyPI) and puts it behind the door that our harness opens.

bakenn is not part of the project: the tool installs it into a virtual environment of its own, and
what it generates lies in a temporary folder.
"""

import os
import subprocess
import sys
from pathlib import Path

VERSION = "1.0.0"
BACKENDS = ("portable", "cmsis-nn")

_GENERATE = """
import sys
import bakenn
from bakenn import CBackendOptions, KernelPolicy, CORTEX_M4
options = CBackendOptions()
if sys.argv[3] == "cmsis-nn":
    options = CBackendOptions(enable_cmsis_nn=True, target=CORTEX_M4,
                              kernel_policy=KernelPolicy.STATIC_PRIORITY)
bakenn.compile_tflite(open(sys.argv[1], "rb").read(), sys.argv[2], name="m",
                      backend_options=options)
"""

# The whole of nb_model.h on top of bakenn's two functions.
_DOOR = """/* bakenn's generated library behind nb_model.h. */
#include "nb_model.h"
#include "bknn_m.h"

static int8_t input[BKNN_M_INPUT_BYTES] __attribute__((aligned(16)));
static int8_t output[BKNN_M_OUTPUT_BYTES] __attribute__((aligned(16)));
#if BKNN_M_ARENA_SIZE > 0
static uint8_t arena[BKNN_M_ARENA_SIZE] __attribute__((aligned(16)));
#define ARENA arena
#else
#define ARENA 0
#endif

static const nb_tensor_info inputs[] = {
    {"input", NB_INT8, 1, {BKNN_M_INPUT_BYTES}, BKNN_M_INPUT_BYTES, BKNN_M_INPUT_SCALE,
     BKNN_M_INPUT_ZERO_POINT}};
static const nb_tensor_info outputs[] = {
    {"output", NB_INT8, 1, {BKNN_M_OUTPUT_BYTES}, BKNN_M_OUTPUT_BYTES, BKNN_M_OUTPUT_SCALE,
     BKNN_M_OUTPUT_ZERO_POINT}};

const nb_model_info nb_model = {
    .name = "bakenn", .sha256 = "", .arena_bytes = BKNN_M_ARENA_SIZE, .input_count = 1,
    .output_count = 1, .inputs = inputs, .outputs = outputs,
    .row_bytes = BKNN_M_INPUT_BYTES};

void *nb_model_input(uint32_t index) {
  (void)index;
  return input;
}

const void *nb_model_output(uint32_t index) {
  (void)index;
  return output;
}

int nb_push_row(const void *row) {
  (void)row;
  return 0;
}

void nb_model_invoke(void) { bknn_m_infer(ARENA, input, output); }

uint32_t nb_model_run(uint32_t layer) { return layer + 1; }
"""


class PeerUnavailableError(Exception):
    """A peer cannot be run here; says why."""


def install(folder: Path) -> Path:
    """The interpreter of a virtual environment with bakenn in it, made where it is missing.

    Raises:
        PeerUnavailableError: it cannot be installed.
    """
    python = folder / "bin" / "python"
    try:
        if not python.is_file():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
        wanted = f"import bakenn, tflite, sys; sys.exit(bakenn.__version__ != {VERSION!r})"
        if subprocess.run([str(python), "-c", wanted], capture_output=True).returncode != 0:
            print(f"installing bakenn {VERSION} into {folder}", file=sys.stderr)
            done = subprocess.run(
                [str(python), "-m", "pip", "install", "-q", f"bakenn[tflite]=={VERSION}"],
                capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            if done.returncode != 0:
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise PeerUnavailableError(f"pip cannot install bakenn: {' '.join(last)}")
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerUnavailableError(f"no virtual environment for bakenn: {error}") from error
    return python


def generate(python: Path, data: bytes, backend: str, folder: Path) -> Path:
    """A folder that builds like our own generated C.

    Args:
        python: what :func:`install` returned.
        data: an adapted .tflite, see :mod:`engine_peers.adapt`.
        backend: one of :data:`BACKENDS`.

    Raises:
        PeerUnavailableError: bakenn refuses the model.
    """
    folder.mkdir(parents=True)
    model, made, generated = folder / "model.tflite", folder / "bakenn", folder / "generated"
    generated.mkdir()
    model.write_bytes(data)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", _GENERATE, str(model), str(made), backend],
        capture_output=True, text=True, timeout=600, env=environment,
    )  # fmt: skip
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PeerUnavailableError(f"bakenn refuses the model: {reason}")
    for source in sorted(made.rglob("*.[ch]")):
        text = source.read_text()
        if source.suffix == ".h":
            (generated / source.name).write_text(text)
            continue
        # As a system header: our warnings are not meant for it.
        head = "#pragma GCC system_header\n#define BAKENN_CMSIS_NN_BUILTIN_MEMORY 1\n"
        (generated / f"{source.stem}.inc").write_text(head + text)
        weights = source.name == "bknn_m_weights.c"
        name = "model_weights.c" if weights else source.name  # the linker script's own section
        (generated / name).write_text(f'#include "{source.stem}.inc"\n')
    (generated / "door.c").write_text(_DOOR)
    return generated
