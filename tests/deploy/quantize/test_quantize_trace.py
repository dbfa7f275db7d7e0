# SPDX-License-Identifier: Apache-2.0
"""The float graph computes what torch computes; folding and fusing are exact."""

import numpy as np
import pytest
import torch
from torch import nn

from deploy.quantize.scheme import activation_quantization, quantize_weights
from deploy.quantize.tensors import ActivationRange
from deploy.quantize.trace import run_float, trace


def scramble(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch norms, in float64 so that folding shows its own error only."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.1, 3)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def float_answer(network: nn.Module, images: torch.Tensor) -> tuple[np.ndarray, list[str]]:
    graph = trace(network, tuple(images.shape[1:]))
    values = run_float(graph, images)
    return values[graph.outputs[0]].numpy(), [op.operator for op in graph.ops]


def check(network: nn.Module, shape: tuple[int, int, int], operators: list[str]) -> None:
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    answer, found = float_answer(network, images)
    with torch.inference_mode():
        expected = network(images).numpy()
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
    assert found == operators


def test_folded_weights_are_exact():
    """conv → BN in float64: weight and bias are those of the composition."""
    network = scramble(nn.Sequential(nn.Conv2d(3, 5, 3, bias=True), nn.BatchNorm2d(5))).double()
    op = trace(network, (3, 8, 8)).ops[0]
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    with torch.inference_mode():
        expected = network(x)
        answer = nn.functional.conv2d(x, torch.from_numpy(op.weight), torch.from_numpy(op.bias))
    assert (answer - expected).abs().max() < 1e-13 * expected.abs().max()


def test_batch_norms_fold_wherever_they_stand():
    check(
        scramble(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6())),
        (3, 6, 6),
        ["CONV_2D"],
    )
    check(
        scramble(
            nn.Sequential(nn.Conv2d(2, 4, 1), nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6))
        ),
        (2, 2, 2),
        ["CONV_2D", "FULLY_CONNECTED"],
    )
    # Nothing in front, or an activation in front: a depthwise 1x1 convolution.
    check(
        scramble(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3))),
        (3, 5, 4),
        ["DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D"],
    )


class Forked(nn.Module):
    """Values that are read twice must not be absorbed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        z = self.drop(y)
        return torch.relu(self.norm(y)) + torch.relu(z)


def test_values_read_twice_stay():
    check(
        scramble(Forked()),
        (2, 6, 6),
        ["CONV_2D", "DEPTHWISE_CONV_2D", "RELU", "ADD"],
    )


class InPlace(nn.Module):
    """An in-place activation also changes what the shortcut reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.first(x)
        early = before + before
        shortcut = before
        y = self.second(self.act(before))
        y += shortcut
        return y + early


def test_in_place_activations_reach_every_later_reader():
    check(InPlace(), (2, 5, 5), ["CONV_2D", "ADD", "RELU6", "CONV_2D", "ADD", "ADD"])


class Twice(nn.Module):
    """One layer called twice, and a pad that two convolutions share."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.conv = nn.Conv2d(3, 3, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pad(x)
        return torch.flatten(torch.cat([self.conv(y), self.conv(y)], 1).mean((2, 3)), 1)


def test_layer_called_twice():
    network = Twice()
    check(network, (3, 8, 8), ["CONV_2D", "CONV_2D", "CONCATENATION", "MEAN"])
    names = [tensor.name for tensor in trace(network, (3, 8, 8)).tensors()]
    assert names[1:3] == ["conv", "conv:2"]


@pytest.mark.parametrize("name", ["mobilenetv2-tiny", "mcunet-in3"])
def test_project_networks_trace_exactly(name):
    models = pytest.importorskip("netbooster.models")
    network = scramble(models.build_model(name, num_classes=7, resolution=64))
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    answer, operators = float_answer(network, images)
    with torch.inference_mode():
        expected = network(images).numpy()
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert set(operators) == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"}


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "squeezenet1_1"])
def test_torchvision_networks_trace_exactly(name):
    torchvision = pytest.importorskip("torchvision")
    network = scramble(getattr(torchvision.models, name)(num_classes=3))
    images = torch.rand(1, 3, 64, 64)
    answer, operators = float_answer(network, images)
    with torch.inference_mode():
        expected = network(images).numpy()
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert "PAD" not in operators or name == "resnet18"  # its max pool pads on both sides


def test_zero_is_exact_and_ends_are_held():
    rng = np.random.default_rng(0)
    for low, high in rng.normal(size=(500, 2)) * rng.lognormal(0, 4, (500, 1)):
        low, high = min(low, high), max(low, high)
        own = activation_quantization(ActivationRange(low, high))
        (scale,), (zero_point,) = own.scales, own.zero_points
        assert -128 <= zero_point <= 127
        reach = (scale * (-128 - zero_point), scale * (127 - zero_point))
        assert reach[0] - scale / 2 <= min(low, 0) * 0.99999 and reach[0] <= 0 <= reach[1]
        assert reach[1] + scale / 2 >= max(high, 0) * 0.99999


def test_weights_use_the_whole_range_symmetrically():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(6, 3, 3, 2)), rng.normal(size=6)
    codes, scales, bias_codes = quantize_weights(weight, bias, 0.02, per_channel=True)
    assert (np.abs(codes.reshape(6, -1)).max(axis=1) == 127).all()
    assert np.abs(codes * scales[:, None, None, None] - weight).max() <= scales.max() * 0.501
    np.testing.assert_allclose(bias_codes * 0.02 * scales, bias, atol=0.02 * scales.max())
    _, single, _ = quantize_weights(weight, bias, 0.02, per_channel=False)
    assert single.shape == (1,) and single[0] == scales.max()


def test_dead_channel_keeps_its_bias():
    """After folding a dead BN: weights of 1e-12 beside a bias of 3 must not overflow int32."""
    weight = np.array([[1e-12, -1e-13], [0.5, 0.25], [0.0, 0.0]])
    codes, scales, bias = quantize_weights(weight, np.array([3.0, 0.1, 0]), 0.01, per_channel=True)
    assert np.abs(bias.astype(np.int64)).max() <= 1 << 28
    np.testing.assert_allclose(bias * 0.01 * scales, [3.0, 0.1, 0], rtol=1e-4)
    assert not codes[0].any() and not codes[2].any() and codes[1, 0] == 127
