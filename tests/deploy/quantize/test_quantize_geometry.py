# SPDX-License-Identifier: Apache-2.0
"""Windows, paddings and layouts: what TFLM computes is what torch computes, to one code."""

import numpy as np
import pytest
import torch
from torch import nn

from deploy.quantize import quantize_network
from deploy.quantize.geometry import SAME, VALID, PaddedWindow, fit_padding, same_padding


def taps(window: PaddedWindow, padding: int, grow: tuple[int, int]) -> list[list[int]]:
    """Pixels that each output reads in TFLite, for the taps of the original kernel; -1 is zero."""
    kernel = window.kernel + sum(grow)
    extent = (kernel - 1) * window.dilation + 1
    if padding == SAME:
        outputs = -(-window.size // window.stride)
        before = same_padding(window.size, extent, window.stride)[0]
    else:
        outputs, before = (window.size - extent) // window.stride + 1, 0
    return _taps(window, outputs, before - grow[0] * window.dilation)


def _taps(window: PaddedWindow, outputs: int, before: int) -> list[list[int]]:
    positions = [
        [o * window.stride + k * window.dilation - before for k in range(window.kernel)]
        for o in range(outputs)
    ]
    return [[p if 0 <= p < window.size else -1 for p in row] for row in positions]


def test_every_fit_reads_torchs_pixels():
    """All small windows: a fit computes torch's windows, and paddings that TFLite has are found."""
    fits = 0
    for size in range(1, 14):
        for kernel in range(1, 8):
            for stride in (1, 2, 3):
                for before in range(4):
                    for after in range(4):
                        window = PaddedWindow(size, kernel, stride, 1, before, after)
                        if window.outputs < 1:
                            continue
                        expected = _taps(window, window.outputs, before)
                        for growable in (False, True):
                            fit = fit_padding(window, window, growable=growable)
                            if fit is None:
                                assert (before, after) != same_padding(size, kernel, stride)
                                assert (before, after) != (0, 0)
                                continue
                            assert growable or not fit.grows
                            assert taps(window, fit.padding, fit.rows) == expected
                            fits += 1
    assert fits > 1500


def test_known_fits():
    stride2 = PaddedWindow(32, 3, 2, 1, 0, 1)
    assert fit_padding(stride2, stride2, growable=False).padding == SAME
    symmetric = PaddedWindow(32, 3, 2, 1, 1, 1)
    assert fit_padding(symmetric, symmetric, growable=False) is None
    grown = fit_padding(symmetric, symmetric, growable=True)
    assert (grown.padding, grown.rows, grown.columns) == (SAME, (0, 1), (0, 1))
    odd = PaddedWindow(33, 3, 2, 1, 1, 1)
    assert not fit_padding(odd, odd, growable=True).grows
    pointwise = PaddedWindow(7, 1)
    assert fit_padding(pointwise, pointwise, growable=True).padding == VALID
    assert fit_padding(PaddedWindow(9, 3, 1, 1, 2, 2), pointwise, growable=True) is None


def exact_conv(rng: np.random.Generator, conv: nn.Conv2d) -> None:
    """Weights that int8 represents without error, so that only the output is rounded."""
    codes = rng.integers(-127, 128, conv.weight.shape)
    codes.reshape(len(codes), -1)[:, 0] = 127
    scales = 2.0 ** rng.integers(-9, -6, (len(codes), 1, 1, 1))
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(codes * scales))
        if conv.bias is not None:
            conv.bias.copy_(torch.from_numpy(rng.uniform(-0.5, 0.5, len(codes))))


def random_network(rng: np.random.Generator) -> nn.Sequential:
    """One convolution of any kind, with any padding."""
    inputs = int(rng.integers(1, 5))
    kind = rng.choice(["dense", "depthwise", "multiplied", "grouped"])
    groups = {"dense": 1, "depthwise": inputs, "multiplied": inputs, "grouped": 1}[kind]
    outputs = inputs * 2 if kind == "multiplied" else inputs
    if kind == "dense":
        outputs = int(rng.integers(1, 6))
    if kind == "grouped":
        inputs, outputs, groups = 4, 6, 2
    layers: list[nn.Module] = []
    if rng.random() < 0.5:
        layers.append(nn.ZeroPad2d(tuple(int(p) for p in rng.integers(0, 3, 4))))
    kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    stride = int(rng.integers(1, 4))
    dilation = int(rng.integers(1, 3)) if stride == 1 else 1
    padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
    bias = bool(rng.random() < 0.7)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias)
    exact_conv(rng, conv)
    tail: list[nn.Module] = [nn.ReLU()] if rng.random() < 0.3 else []
    return nn.Sequential(*layers, conv, *tail)


@pytest.mark.parametrize("seed", range(80))
def test_random_convolutions_equal_torch(seed, tflm, unpack):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    conv = next(layer for layer in network if isinstance(layer, nn.Conv2d))
    size = rng.integers(11, 18, 2)
    images = rng.integers(-128, 128, (3, conv.in_channels, *size)).astype(np.float32) / 128
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy().transpose(0, 2, 3, 1)
    result = quantize_network(network, images)
    answer = tflm(result.flatbuffer, images)
    step = result.tensors[-1].scale
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() <= 1.01 * step
    assert np.abs(answer - expected).mean() <= 0.3 * step  # rounding alone gives a quarter
    operators = unpack(result.flatbuffer).operators
    assert operators[-1] in ("CONV_2D", "DEPTHWISE_CONV_2D")
    assert len(operators) == 1 or (operators[0] == "PAD" and "PAD" in result.warnings[0])


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_symmetric_stride_two_needs_no_pad(kernel, size, tflm, unpack):
    """Torch's usual padding = k // 2 at stride 2 becomes SAME, on even sizes by a grown kernel."""
    rng = np.random.default_rng(kernel)
    network = nn.Sequential(nn.Conv2d(3, 3, kernel, 2, kernel // 2, groups=3))
    exact_conv(rng, network[0])
    images = rng.integers(-128, 128, (3, 3, size, size)).astype(np.float32) / 128
    result = quantize_network(network, images)
    model = unpack(result.flatbuffer)
    assert model.operators == ["DEPTHWISE_CONV_2D"] and result.warnings == ()
    grown = kernel + (size % 2 == 0)
    assert list(model.tensors["0/weight"].shape) == [1, grown, grown, 3]
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy().transpose(0, 2, 3, 1)
    answer = tflm(result.flatbuffer, images)
    assert np.abs(answer - expected).max() <= 1.01 * result.tensors[-1].scale


class Pools(nn.Module):
    """Every pooling and the other operators that nets of this kind use."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.max = nn.MaxPool2d(3, 2, 1)
        self.average = nn.AvgPool2d(2)
        self.padded = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.swish = nn.Hardswish()
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.gate = nn.Sigmoid()
        self.classifier = nn.Linear(16 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.max(torch.relu(self.stem(x)))
        x = torch.cat([self.average(x), self.average(self.padded(x))], dim=1)
        y = self.swish(self.narrow(x))
        y = y * self.gate(self.squeeze(y.mean((2, 3), keepdim=True)))
        y = torch.cat([y, y + y], dim=1)
        return self.classifier(y.view(y.size(0), -1)).softmax(1)


def test_other_operators(tflm, unpack):
    """Pooling, concatenation, gates, hard swish, flattening of a map, softmax."""
    torch.manual_seed(1)
    network = Pools()
    with torch.no_grad():
        network.classifier.weight.mul_(15)
    images = np.random.default_rng(1).integers(-128, 128, (16, 2, 8, 8)).astype(np.float32) / 128
    result = quantize_network(network, images)
    assert unpack(result.flatbuffer).operators == [
        "CONV_2D", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "AVERAGE_POOL_2D", "AVERAGE_POOL_2D",
        "CONCATENATION", "CONV_2D", "HARD_SWISH", "MEAN", "CONV_2D", "LOGISTIC", "MUL",
        "ADD", "CONCATENATION", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    answer = tflm(result.flatbuffer, images)
    assert np.abs(answer - expected).max() < 0.06
    assert expected.max() - expected.min() > 0.3  # the answers differ enough to tell


def test_flatten_of_a_map_keeps_torchs_order(tflm, unpack):
    """Linear layers behind a map read channels first in torch, last in TFLite."""
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(3 * 4 * 5, 6))
    images = rng.integers(-128, 128, (32, 1, 4, 5)).astype(np.float32) / 128
    result = quantize_network(network, images)
    assert unpack(result.flatbuffer).operators == ["CONV_2D", "FULLY_CONNECTED"]
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    error = tflm(result.flatbuffer, images) - expected
    assert 10 * np.log10((expected**2).sum() / (error**2).sum()) > 25
