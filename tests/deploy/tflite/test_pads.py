# SPDX-License-Identifier: Apache-2.0
"""PAD in front of convolutions costs neither memory nor a pass."""

import golden
import numpy as np
import pytest
import random_models
from random_layers import convolution, depthwise, pad
from tflite_builder import INT32, Builder

from deploy.codegen import plan_model
from deploy.tflite.tflm import tflm_available

reference = pytest.mark.skipif(tflm_available() is not None, reason=str(tflm_available()))


def padded(b, rng, source):
    """A PAD of rows and columns alone."""
    while True:
        output = pad(b, rng, source)
        if b.tensors[output].shape[3] == b.tensors[source].shape[3]:
            return output


def model(rng, layer, keep):
    """PAD, and what reads it; with ``keep`` the padded tensor is an output, too."""
    b = Builder()
    source = b.tensor((1, 7, 9, 6), 0.05, int(rng.integers(-128, 128)))
    middle = padded(b, rng, source)
    outputs = [layer(b, rng, middle)]
    return b.build([source], outputs + [middle] * keep)


@reference
@pytest.mark.parametrize("schedule", ["layer", "rows"])
@pytest.mark.parametrize("layer", [convolution, depthwise, random_models.pointwise])
def test_convolutions_pad_by_themselves(layer, schedule):
    for seed in range(3):
        rng = np.random.default_rng([seed, 5])
        wrong, plan = golden.differences(model(rng, layer, False), rng, schedule=schedule)
        assert wrong == 0, seed
        assert [la.op for la in plan.layers if la.op == "PAD"] == []


def test_a_pad_that_something_else_needs_stays():
    rng = np.random.default_rng(0)
    plan = plan_model(model(rng, depthwise, True), name="kept").plan
    assert [la.op for la in plan.layers] == ["PAD", "DEPTHWISE_CONV_2D"]


@reference
@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("width", range(4, 9))
def test_padding_on_one_side_of_a_depthwise_convolution(width, before):
    """With a stride the last columns may not be read, so that nothing is to the right."""
    for stride in (2, 3):
        b, rng = Builder(), np.random.default_rng(width)
        source = b.tensor((1, width, width, 4), 0.05, 7)
        amounts = np.array([[0, 0], [before, 0], [before, 0], [0, 0]])
        padded_size = width + before
        middle = b.tensor((1, padded_size, padded_size, 4), 0.05, 7)
        paddings = b.tensor((4, 2), data=amounts, dtype=INT32)
        b.operator("PAD", [source, paddings], [middle], "PadOptions")
        data = rng.integers(-127, 128, (1, 3, 3, 4)).astype(np.int8)
        weights = b.tensor(data.shape, np.full(4, 0.01), data=data, axis=3)
        size = (padded_size - 3) // stride + 1
        output = b.tensor((1, size, size, 4), 0.05, -3)
        b.operator("DEPTHWISE_CONV_2D", [middle, weights], [output], "DepthwiseConv2DOptions",
                   padding=1, strideH=stride, strideW=stride, depthMultiplier=1,
                   dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=0)  # fmt: skip
        assert golden.differences(b.build([source], [output]), rng)[0] == 0, stride
