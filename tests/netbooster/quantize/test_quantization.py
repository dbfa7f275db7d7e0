# SPDX-License-Identifier: Apache-2.0
"""Fake quantization: exact on the grid, straight-through gradients, honest refusals."""

import math

import pytest
import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.models import build_model
from netbooster.quantize.fake_quantization import ActivationRange, QuantizedNetwork
from netbooster.quantize.integer_arithmetic import requantize


def test_range_rounds_to_255_steps_and_keeps_zero_exact():
    keeper = ActivationRange()
    keeper.widen(torch.tensor([-1.0, 3.0]))
    scale, zero = keeper.quantization()
    assert scale.item() == pytest.approx(4 / 255) and zero.item() == -64
    values = torch.linspace(-1.5, 3.5, 501)
    rounded = keeper(values)
    assert keeper(torch.zeros(1)).item() == 0
    inside = (values > -1) & (values < 3)
    assert (rounded - values)[inside].abs().max() <= scale.item() / 2 + 1e-6
    assert rounded.unique().numel() <= 256
    torch.testing.assert_close(keeper(rounded), rounded)


def test_gradients_pass_rounding_and_stop_at_the_clip():
    keeper = ActivationRange()
    keeper.widen(torch.tensor([0.0, 1.0]))
    values = torch.tensor([0.3, 0.7, 2.0, -1.0], requires_grad=True)
    keeper(values).sum().backward()
    assert values.grad is not None and values.grad.tolist() == pytest.approx([1, 1, 0, 0])


def test_ranges_follow_batches_only_when_told():
    keeper = ActivationRange(momentum=0.5)
    keeper.widen(torch.tensor([0.0, 1.0]))
    keeper(torch.tensor([-1.0, 3.0]))
    assert keeper.high.item() == 1
    keeper.follows = True
    keeper(torch.tensor([-1.0, 3.0]))
    assert (keeper.low.item(), keeper.high.item()) == (-0.5, 2)


def test_project_networks_and_names():
    network = build_model("mobilenetv2-tiny", num_classes=5, resolution=32, channels=1)
    quantized = QuantizedNetwork(network)
    images = torch.randint(-128, 128, (4, 1, 32, 32)) / 128
    with quantized.observing(), torch.no_grad():
        floats = quantized(images)
    torch.testing.assert_close(floats, network.eval()(images), rtol=1e-4, atol=1e-5)
    names = list(quantized.activations())
    assert names[0] == "stem.conv" and names[-2:] == ["pool", "classifier"]
    assert "blocks.2.add" in names
    assert not torch.equal(quantized(images), floats)


def test_every_parameter_gets_a_gradient():
    network = build_model("mobilenetv2-tiny", num_classes=5, resolution=32, channels=1)
    quantized = QuantizedNetwork(network)
    images = torch.randint(-128, 128, (4, 1, 32, 32)) / 128
    with quantized.observing(), torch.no_grad():
        quantized(images)
    quantized.follow_ranges(True)
    quantized(images).square().sum().backward()
    for name, parameter in quantized.network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert network.stem.conv.weight.grad is None  # the caller's network is a copy


def test_a_layer_without_int8_form_is_named():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.Sigmoid()))
    with pytest.raises(NetBoosterError, match=r"layer '1\.0' \(Sigmoid\)"):
        QuantizedNetwork(network)
    norm = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(NetBoosterError, match=r"layer '1' .*running statistics"):
        QuantizedNetwork(norm)


def test_requantization_rounds_twice_as_gemmlowp_does():
    """Against the same arithmetic on Python's integers, ties and signs included."""
    factor = 0.0007411
    fraction, exponent = math.frexp(factor)
    multiplier, shift = math.floor(fraction * 2**31 + 0.5), -exponent
    values = [0, 1, -1, 674, -674, 675, 2023, -2023, 123456, -123456, 2**30, -(2**30)]
    expected = []
    for value in values:
        high = (value * multiplier + (1 << 30)) >> 31
        mask = (1 << shift) - 1
        expected.append((high >> shift) + int((high & mask) > (mask >> 1) + int(high < 0)))
    found = requantize(torch.tensor(values), torch.tensor([factor], dtype=torch.float64))
    assert found.tolist() == expected
    halves = requantize(torch.tensor([1, -1, 3, -3]), torch.tensor([0.5], dtype=torch.float64))
    assert halves.tolist() == [1, 0, 2, -1]  # the multiplication rounds ties up
