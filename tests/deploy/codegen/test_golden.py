# SPDX-License-Identifier: Apache-2.0
"""The generated C against the TFLM interpreter: every byte, on the host.

Random models are in test_random_models.py, which compares them in other builds as well.
"""

import zlib
from pathlib import Path

import golden
import numpy as np
import pytest
import random_models
from tflite_builder import Builder

from deploy.build.host_model import HostModel, build_host
from deploy.codegen import compile_model
from deploy.core.errors import DeployError
from deploy.tflite.tflm import TflmModel, tflm_available

PEERS = sorted((Path(__file__).parents[2] / "data" / "peers").glob("*.tflite"))

pytestmark = pytest.mark.skipif(
    tflm_available() is not None, reason=f"not compared with TFLM: {tflm_available()}"
)


def rng_of(kind: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(kind.encode())])


@pytest.mark.parametrize("path", PEERS, ids=lambda p: p.stem)
def test_peers_models(path, tmp_path):
    data = path.read_bytes()
    compile_model(data, tmp_path, name=path.stem)
    model = HostModel(build_host(tmp_path, tmp_path / "model.so", kernels=golden.host_kernels()))
    images = golden.random_inputs(model, np.random.default_rng(1), 4)[0]
    outputs = model.invoke(images)
    interpreter = TflmModel(data)
    expected = np.concatenate([interpreter.invoke(image[None]) for image in images])
    assert (outputs == expected.reshape(outputs.shape)).all()
    assert len(np.unique(outputs)) > 5  # not saturated to nothing


@pytest.mark.parametrize(("schedule", "mode"), [("fused", "image"), ("rows", "rows")])
def test_chains_by_rows(schedule, mode):
    for seed in range(14):
        rng = rng_of("chain", seed)
        data = random_models.chain(rng)
        wrong, plan = golden.differences(data, rng, schedule=schedule, input_mode=mode)
        assert wrong == 0, f"chain, seed {seed}: {plan.streams}"


def test_both_requantization_paths_are_exercised():
    """The random models must reach the fast path, the general path and both clamps."""
    from deploy.tflite import lower_graph, read_graph

    seen = set()
    for seed in range(40):
        data = random_models.single("conv_2d_1x1", rng_of("conv_2d_1x1", seed))
        for layer in lower_graph(read_graph(data, "random")):
            r = layer.requantization
            if r is not None:
                seen.add((r.fast, (r.minimum, r.maximum) == (-128, 127)))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_sanitizers_are_silent_and_agree(tmp_path):
    """One graph with every operator under the address and undefined-behaviour sanitizers."""
    for seed in range(4):
        rng = rng_of("sanitize", seed)
        data = random_models.graph(rng) if seed else every_operator(rng)
        folder = tmp_path / str(seed)
        try:
            _, checked = golden.compile_for_host(data, folder, sanitize=True)
        except DeployError as error:
            if "asan" in str(error):
                pytest.skip(f"the host compiler has no sanitizers: {error}")
            raise
        inputs = golden.random_inputs(checked, rng, 3)
        _, plain = golden.compile_for_host(data, folder)
        for a, b in zip(checked.invoke_all(inputs), plain.invoke_all(inputs), strict=True):
            assert (a == b).all()


def every_operator(rng):
    b = Builder()
    source = b.tensor((1, 12, 11, 6), 0.02, 3)
    t = random_models.pad(b, rng, source)
    t = random_models.pointwise(b, rng, t)
    t = random_models.add(b, rng, t)
    t = random_models.depthwise(b, rng, t)
    t = random_models.convolution(b, rng, t)
    t = random_models.pool(b, rng, t)
    t = random_models.mean(b, rng, t)
    t = random_models.reshape(b, rng, t)
    t = random_models.fully_connected(b, rng, t)
    return b.build([source], [random_models.softmax(b, rng, t)])


def test_softmax_of_every_difference():
    """All 256 differences to the maximum, for steep and flat inputs."""
    for scale in (0.001, 0.02, 0.1, 1.0):
        b = Builder()
        source = b.tensor((256, 2), scale, 0)
        output = b.tensor((256, 2), 1 / 256, -128)
        b.operator("SOFTMAX", [source], [output], "SoftmaxOptions", beta=1.0)
        data = b.build([source], [output])
        pairs = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
        expected = TflmModel(data).invoke(pairs)
        assert (run_on_host(data, pairs) == expected).all()


def run_on_host(data, item):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _, model = golden.compile_for_host(data, Path(folder))
        return model.invoke(item[None])[0]


def test_host_model_refuses_wrong_input(tmp_path):
    _, model = golden.compile_for_host(PEERS[-1].read_bytes(), tmp_path)
    with pytest.raises(DeployError, match="not int8"):
        model.invoke(np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(DeployError, match="is missing"):
        HostModel(tmp_path / "nothing.so")
    with pytest.raises(DeployError, match="netbooster compile"):
        build_host(tmp_path / "nowhere", tmp_path / "x.so")


def test_tflm_refuses_garbage():
    with pytest.raises(DeployError, match="TFLM refuses"):
        TflmModel(b"\x1c\x00\x00\x00TFL3" + b"\x00" * 64)
