# SPDX-License-Identifier: Apache-2.0
"""Models that other tools made, compiled as they are: every byte against the TFLM interpreter.

tests/data/foreign/make.py made the files with TensorFlow's converter; their weights are random.
"""

from pathlib import Path

import numpy as np
import pytest
import target_runner

from deploy.tflite import read_graph
from deploy.tflite.tflm import tflm_available

FOLDER = Path(__file__).parents[2] / "data" / "foreign"
MODELS = sorted(FOLDER.glob("*.tflite"))
pytestmark = pytest.mark.skipif(
    tflm_available() is not None, reason=f"not compared with TFLM: {tflm_available()}"
)


@pytest.mark.parametrize("build", ["host", "cortex-m4", "cortex-m7"])
def test_foreign_models(build, tmp_path):
    target_runner.require(build)
    options = [{"schedule": kind} for _ in MODELS for kind in ("layer", "auto")]
    models = [path.read_bytes() for path in MODELS for _ in range(2)]
    said = target_runner.run(build, models, np.random.default_rng(0), tmp_path, options)
    assert said == "equal", f"{said} of {[path.stem for path in MODELS]}, two schedules each"


def test_the_files_have_the_operators_that_they_are_for():
    kinds = {
        op.kind for path in MODELS for op in read_graph(path.read_bytes(), path.stem).operators
    }
    assert {"CONCATENATION", "TRANSPOSE", "STRIDED_SLICE", "RESHAPE", "TANH", "QUANTIZE",
            "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "LOGISTIC", "MUL",
            "HARD_SWISH"} <= kinds  # fmt: skip
    outputs = [len(read_graph(path.read_bytes(), path.stem).outputs) for path in MODELS]
    assert max(outputs) == 4
