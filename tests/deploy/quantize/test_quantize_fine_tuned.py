# SPDX-License-Identifier: Apache-2.0
"""Quantization-aware training computes what TFLM computes, and quantization takes its scales."""

import numpy as np
import pytest
import torch

from deploy.quantize import quantize_network
from netbooster.quantize.fake_quantization import QuantizedNetwork


@pytest.fixture(scope="module")
def tuned(trained):
    """Some steps of training with int8 arithmetic."""
    torch.manual_seed(0)
    model = QuantizedNetwork(trained.model)
    images = torch.from_numpy(trained.train[:256])
    with model.observing(), torch.no_grad():
        targets = model(images)
    model.follow_ranges(True)
    optimizer = torch.optim.SGD(model.network.parameters(), lr=1e-3, momentum=0.9)
    for step in range(8):
        batch = slice(32 * step, 32 * step + 32)
        loss = torch.nn.functional.mse_loss(model(images[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.follow_ranges(False)
    return model


def test_forward_equals_tflm_in_every_code(tuned, trained, tflm):
    result = quantize_network(tuned.network, trained.train[:16], activations=tuned.activations())
    images = trained.test[:200]
    answer = tflm(result.flatbuffer, images)
    with torch.inference_mode():
        expected = tuned(torch.from_numpy(images)).numpy()
    codes = (answer - expected) / result.tensors[-1].scale
    assert np.abs(codes).max() < 1e-3


def test_exported_scales_are_the_trained_ones(tuned, trained):
    result = quantize_network(tuned.network, trained.train[:16], activations=tuned.activations())
    found = {record.name: (record.scale, record.zero_point) for record in result.tensors[1:]}
    for name, (scale, zero_point) in tuned.activations().items():
        assert found.pop(name) == (np.float32(scale), zero_point)
    assert not found


def test_training_moved_weights_and_ranges(tuned, trained):
    before = quantize_network(trained.model, trained.train[:16]).tensors[1:]
    after = tuned.activations()
    assert any(after[record.name][0] != record.scale for record in before)
    pairs = zip(tuned.network.parameters(), trained.model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
