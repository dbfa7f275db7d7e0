# SPDX-License-Identifier: Apache-2.0
"""Bias and shift of a channel share a word on the fast path: what fits, and what does not."""

import numpy as np
import pytest
import target_runner
from tflite_builder import INT32, Builder

from deploy.tflite import lower_graph, read_graph
from deploy.tflite.numerics import pack_channels, unpack_channels
from deploy.tflite.tflm import tflm_available

DEPTH, MOST = 64, 2**25


def test_words_come_back():
    bias = np.array([-MOST, MOST - 1, -1, 0, 12345])
    shift = np.array([1, 24, 24, 7, 19])
    multiplier = np.array([-(2**31), -2, -(2**30), 2**30, 5])
    for ended in (False, True):
        packed = pack_channels(bias, shift, multiplier, ended=ended)
        assert packed.dtype == np.int32 and len(packed) == 10 + ended
        for found, wanted in zip(unpack_channels(packed), (bias, shift, multiplier), strict=True):
            np.testing.assert_array_equal(found, wanted)


def model(kind: str, bias: int) -> bytes:
    """One layer; channel 3 has ``bias``, and a scale that puts it in the middle of the output."""
    rng = np.random.default_rng(7)
    b = Builder()
    channels, taps = (DEPTH, 9) if kind == "DEPTHWISE_CONV_2D" else (6, DEPTH)
    scales = np.full(channels, 1e-3)
    scales[3] = 60 * 0.1 / (0.05 * MOST)
    rows = rng.integers(-127, 128, (channels, taps)).astype(np.int8)
    rows[3] = 127 * (-1) ** (bias > 0)
    values = rng.integers(-1000, 1000, channels)
    values[3] = bias
    source = b.tensor((1, 5, 5, DEPTH) if kind != "FULLY_CONNECTED" else (1, DEPTH), 0.05, 0)
    if kind == "FULLY_CONNECTED":
        shape, output = rows.shape, b.tensor((1, channels), 0.1, -3)
        options: dict[str, int] = {"fusedActivationFunction": 0}
    else:
        shape, output = (channels, 1, 1, taps), b.tensor((1, 5, 5, channels), 0.1, -3)
        options = {"padding": 0, "strideH": 1, "strideW": 1, "fusedActivationFunction": 0,
                   "dilationHFactor": 1, "dilationWFactor": 1}  # fmt: skip
    name, axis = (
        {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}.get(
            kind, "DepthwiseConv2DOptions"
        ),
        0,
    )
    if kind == "DEPTHWISE_CONV_2D":
        options["depthMultiplier"] = 1
        rows, shape, axis = np.ascontiguousarray(rows.T), (1, 3, 3, channels), 3
    weights = b.tensor(shape, scales, data=rows.reshape(shape), axis=axis)
    added = b.tensor((channels,), 0.05 * scales, data=values, dtype=INT32)
    b.operator(kind, [source, weights, added], [output], name, **options)
    return b.build([source], [output])


@pytest.mark.skipif(tflm_available() is not None, reason=str(tflm_available()))
@pytest.mark.parametrize("build", ["host", "cortex-m4", "cortex-m3"])
def test_the_largest_bias_and_one_more(build, tmp_path):
    target_runner.require(build)
    models = []
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        for bias, fits in ((MOST - 1, True), (-MOST, True), (MOST, False), (-MOST - 1, False)):
            data = model(kind, bias)
            (layer,) = lower_graph(read_graph(data, kind))
            assert layer.params.requantization.fast == fits
            models.append(data)
    said = target_runner.run(build, models, np.random.default_rng(0), tmp_path, None)
    assert said == "equal", said
