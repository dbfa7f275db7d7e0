# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB as one weighted sum: every pair of bytes, and what has no such sum."""

import golden
import numpy as np
import pytest
import target_runner
from tflite_builder import Builder

from deploy.tflite import lower_graph, read_graph
from deploy.tflite.ops.weighted_sum import SHIFT, find_weighted_sum
from deploy.tflite.tflm import TflmModel, tflm_available

BYTES = np.arange(-128, 128, dtype=np.int64)


def model(kind: str, scales, zeros, activation: int = 0) -> bytes:
    """All 65,536 pairs of bytes, when the inputs are those of :func:`pairs`."""
    b = Builder()
    first, second, output = (
        b.tensor((1, 256, 256, 1), scale, zero) for scale, zero in zip(scales, zeros, strict=True)
    )
    b.operator(
        kind,
        [first, second],
        [output],
        f"{kind.title()}Options",
        fusedActivationFunction=activation,
    )
    return b.build([first, second], [output])


def kernel_of(data: bytes) -> str:
    (layer,) = lower_graph(read_graph(data, "pairs"))
    return layer.kernel


def pairs(data: bytes, folder) -> tuple[np.ndarray, np.ndarray]:
    """What the interpreter and the compiled model make of all pairs of bytes."""
    inputs = [
        np.broadcast_to(values, (256, 256)).astype(np.int8).reshape(1, 256, 256, 1)
        for values in (BYTES[:, None], BYTES[None, :])
    ]
    _, own = golden.compile_for_host(data, folder)
    interpreter = TflmModel(data)
    interpreter.invoke_all(inputs)
    return interpreter.output(0).reshape(256, 256), own.invoke_all(inputs)[0].reshape(256, 256)


@pytest.mark.skipif(tflm_available() is not None, reason=str(tflm_available()))
@pytest.mark.parametrize("kind", ["ADD", "SUB"])
@pytest.mark.parametrize(
    ("scales", "zeros"),
    [
        ((0.0471, 0.0832, 0.0911), (3, -17, -6)),
        ((0.0235, 0.0235, 0.0235), (-128, -128, -128)),
        ((0.1, 0.1, 0.2), (-3, 5, 7)),  # half of all sums are ties
        ((0.004, 0.4, 0.35), (0, 11, -2)),
    ],
)
def test_every_pair(kind, scales, zeros, tmp_path):
    data = model(kind, scales, zeros)
    assert kernel_of(data) == "nb_weighted_sum_s8"
    reference, own = pairs(data, tmp_path)
    np.testing.assert_array_equal(own, reference)


def test_usual_scales_have_one():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        scales = rng.uniform(0.02, 0.2, 2)
        data = model(
            "ADD", (*scales, scales.max() * rng.uniform(0.7, 1.6)), rng.integers(-20, 20, 3)
        )
        found += kernel_of(data) == "nb_weighted_sum_s8"
    assert found >= 38


def test_other_sums_keep_the_arithmetic_of_the_reference():
    assert kernel_of(model("ADD", (0.1, 0.1, 0.1), (0, 0, 0), activation=1)) == "nb_add_s8"
    assert kernel_of(model("ADD", (0.1, 0.1, 0.001), (0, 0, 0))) == "nb_add_s8"  # too steep
    assert kernel_of(model("SUB", (0.1, 0.1, 0.1), (0, 0, 0), activation=1)) == "nb_elementwise_s8"


def test_a_found_sum_gives_every_output():
    outputs = np.clip((3 * BYTES[:, None] - 2 * BYTES[None, :] + 1) >> 2, -128, 127)
    found = find_weighted_sum(outputs, (0.75, -0.5))
    sums = found.offset + BYTES[:, None] * found.factors[0] + BYTES[None, :] * found.factors[1]
    assert np.abs(sums).max() < 2**31
    np.testing.assert_array_equal(np.clip(sums >> SHIFT, -128, 127), outputs)
    outputs[100, 100] += 1
    assert find_weighted_sum(outputs, (0.75, -0.5)) is None
    assert find_weighted_sum(outputs, (float("inf"), -0.5)) is None


@pytest.mark.parametrize("build", ["cortex-m4", "cortex-m3", "cortex-m0"])
def test_cores(build, tmp_path):
    """Lengths that are no multiple of four, and the output in an input's place."""
    target_runner.require(build)
    models = []
    for length in (1, 2, 3, 5, 37):
        b = Builder()
        first, second = b.tensor((1, length), 0.05, 4), b.tensor((1, length), 0.08, -9)
        total, output = b.tensor((1, length), 0.09, 1), b.tensor((1, length), 0.1, 2)
        b.operator("ADD", [first, second], [total], "AddOptions", fusedActivationFunction=0)
        b.operator("SUB", [total, second], [output], "SubOptions", fusedActivationFunction=0)
        models.append(b.build([first, second], [output]))
    said = target_runner.run(build, models, np.random.default_rng(0), tmp_path, None)
    assert said == "equal", said
