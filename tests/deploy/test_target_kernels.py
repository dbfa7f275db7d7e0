"""The kernels on emulated cores: with DSP instructions and without, equal to the host's bytes.

The host build is compared with TFLM in test_golden.py, so equality here is equality with TFLM.
"""

import zlib

import numpy as np
import pytest
import random_models
import target_runner

pytestmark = pytest.mark.skipif(
    target_runner.missing_tools() is not None, reason=str(target_runner.missing_tools())
)
DOMINANT = ("conv_2d_1x1", "depthwise_conv_2d", "conv_2d", "fully_connected", "add")


def models(kind: str, seeds: range) -> list[bytes]:
    found = []
    for seed in seeds:
        rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
        if kind == "graph":
            found.append(random_models.graph(rng))
        else:
            found.append(random_models.single(kind, rng))
    return found


@pytest.mark.parametrize("kind", [*DOMINANT, "graph"])
def test_cortex_m4_equals_the_host(kind, tmp_path):
    batch = models(kind, range(12))
    assert target_runner.run("cortex-m4", batch, np.random.default_rng(0), tmp_path) == "equal"


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m3", "cortex-m0"])
def test_other_cores_equal_the_host(core, tmp_path):
    batch = [m for kind in (*DOMINANT, "pool", "pad", "softmax") for m in models(kind, range(2))]
    assert target_runner.run(core, batch, np.random.default_rng(0), tmp_path) == "equal"


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m3"])
@pytest.mark.parametrize("kind", [*sorted(random_models.SINGLE), "graph"])
def test_cores_equal_the_host_slow(core, kind, tmp_path):
    batch = models(kind, range(12, 112))
    assert target_runner.run(core, batch, np.random.default_rng(0), tmp_path) == "equal"
