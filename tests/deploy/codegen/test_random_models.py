# SPDX-License-Identifier: Apache-2.0
"""Random models in three builds, every byte against the TFLM interpreter: the host with sanitizers,
Cortex-M4 and Cortex-M7 in QEMU; operators alone also on cores without DSP instructions.

Many models make one program, see target_runner.py. A case that fails names its model: the seed is
``first + number`` of the call.
"""

import zlib
from typing import Any

import numpy as np
import pytest
import random_models
import target_runner

BUILDS = ("host", "cortex-m4", "cortex-m7")
OTHER_BUILDS = ("cortex-m3", "cortex-m0")
KINDS = sorted(random_models.SINGLE)
PART = 25  # graphs in one program
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"schedule": "layer"},
    {"schedule": "fused"},
    {"schedule": "auto"},
    {"schedule": "rows", "input_mode": "rows"},
)


def rng_of(kind: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(kind.encode())])


def compare(build, models, options, folder):
    target_runner.require(build)
    said = target_runner.run(build, models, np.random.default_rng(0), folder, options)
    assert said == "equal", said


def compare_operators(build, kind, seeds, folder):
    models = [random_models.single(kind, rng_of(kind, seed)) for seed in seeds]
    compare(build, models, None, folder)


def compare_graphs(build, seeds, folder):
    """Nets of every operator in the schedules of whole images, inverted residuals by rows too."""
    models, options = [], []
    for seed in seeds:
        schedule = SCHEDULES[seed % len(SCHEDULES)]
        make = random_models.chain if "input_mode" in schedule else random_models.graph
        models.append(make(rng_of(make.__name__, seed)))
        options.append(schedule)
    compare(build, models, options, folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", BUILDS)
def test_operators(build, kind, tmp_path):
    compare_operators(build, kind, range(12), tmp_path)


@pytest.mark.parametrize("build", OTHER_BUILDS)
def test_operators_without_dsp(build, tmp_path):
    models = [random_models.single(kind, rng_of(kind, seed)) for kind in KINDS for seed in (0, 1)]
    compare(build, models, None, tmp_path)


@pytest.mark.parametrize("part", range(200 // PART))
@pytest.mark.parametrize("build", BUILDS)
def test_graphs(build, part, tmp_path):
    compare_graphs(build, range(part * PART, (part + 1) * PART), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", (*BUILDS, *OTHER_BUILDS))
def test_operators_slow(build, kind, tmp_path):
    compare_operators(build, kind, range(12, 112), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2000 // PART))
@pytest.mark.parametrize("build", BUILDS)
def test_graphs_slow(build, part, tmp_path):
    compare_graphs(build, range(200 + part * PART, 200 + (part + 1) * PART), tmp_path)


def test_a_wrong_byte_is_found(tmp_path):
    """The comparison itself: one changed expected byte must be reported, in its model and item."""
    models = [random_models.single("mul", rng_of("mul", seed)) for seed in range(3)]
    numbers = iter(range(10))
    original = target_runner._expected

    def changed(data, place, inputs):
        wanted = bytearray(original(data, place, inputs))
        if next(numbers) == 1:
            wanted[-1] ^= 1
        return bytes(wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target_runner, "_expected", changed)
        said = target_runner.run("host", models, np.random.default_rng(0), tmp_path)
    assert said.startswith("model 1 item 2 (")
