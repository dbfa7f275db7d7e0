# SPDX-License-Identifier: Apache-2.0
"""Bad input: one line that names the layer or the calibration set, and nothing is written."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from deploy.core.errors import DeployError
from deploy.quantize import quantize_network

IMAGES = np.random.default_rng(0).uniform(-1, 0.99, (4, 3, 8, 8)).astype(np.float32)


def refuse(network: nn.Module, images: np.ndarray, pattern: str, **options: object) -> None:
    with pytest.raises(DeployError) as caught:
        quantize_network(network, images, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(pattern, message), message


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3)


class Nested(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Sequential(conv(), inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


class Expression(nn.Module):
    """Applies ``function`` behind a convolution."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.stem, self.function = conv(), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.stem(x))


@pytest.mark.parametrize(
    ("inner", "pattern"),
    [
        (nn.GELU(), r"'features\.0\.1' \(nn\.GELU\).*no int8 TFLite Micro operator"),
        (nn.ConvTranspose2d(4, 4, 2), r"'features\.0\.1' \(nn\.ConvTranspose2d\)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), r"features\.0\.1.*zero padding"),
        (nn.Conv2d(5, 4, 1), r"features\.0\.1.*reads 5 channels, but gets 4"),
        (nn.Conv2d(4, 4, 9), r"features\.0\.1.*larger than its 6x6 input"),
        (nn.AdaptiveAvgPool2d(2), r"features\.0\.1.*only adaptive pooling to 1x1"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), r"features\.0\.1.*ceil_mode"),
        (nn.MaxPool2d(3, 2, 1), r"features\.0\.1.*put a ReLU in front"),
        (
            nn.Flatten(),
            r"features\.0\.1.*6x6 map can be flattened only right in front of nn.Linear",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), r"features\.0\.1\.1.*9 features.*gets 144"),
        (nn.BatchNorm2d(4, track_running_stats=False), r"features\.0\.1.*no running statistics"),
        (nn.Hardtanh(-2, 2), r"features\.0\.1.*\[-2, 2\]|features\.0\.1.*not to"),
    ],
)
def test_unsupported_layers_are_named(inner, pattern):
    refuse(Nested(inner), IMAGES, pattern)


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        (lambda x: torch.einsum("nchw->nhwc", x), "einsum"),
        (lambda x: x.permute(0, 2, 3, 1), r"'permute' \(\.permute\(\)\)"),
        (lambda x: x if x.sum() > 0 else -x, "cannot be traced.*must not branch"),
        (lambda x: x + 1, "argument 2 must be an activation, not 1"),
        (lambda x: x[:, :2], "getitem"),
        (lambda x: x.view(-1), "only flattening all but the batch"),
        (lambda x: {"logits": x}, "must return one tensor"),
    ],
)
def test_unsupported_expressions_are_named(function, pattern):
    refuse(Expression(function), IMAGES, pattern)


def test_a_transformer_of_the_project_is_refused_by_name():
    """DeiT serves Table 8 only; attention has no int8 operators here."""
    from netbooster.models import build_model

    network = build_model("deit-tiny", num_classes=4, resolution=32)
    images = np.random.default_rng(0).uniform(-1, 0.99, (2, 3, 32, 32)).astype(np.float32)
    refuse(network, images, r"layer '\w+.*' \(.*\) cannot be quantized")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_weights_name_the_layer(value):
    network = Nested(nn.BatchNorm2d(4))
    with torch.no_grad():
        network.features[0][0].weight[1, 0, 0, 0] = value
    refuse(network, IMAGES, r"'features\.0\.0' .*its weight holds NaN or infinity")
    network = Nested(nn.BatchNorm2d(4))
    network.features[0][1].running_var[2] = -1
    refuse(network, IMAGES, r"'features\.0\.1' .*running_var is negative")


def test_overflowing_activations_name_the_layer():
    network = nn.Sequential(conv(), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        network[1].weight.fill_(3e38)
        network[2].weight.fill_(3e38)
    refuse(network, IMAGES, r"layer '1' .*NaN or infinity on the calibration images")


@pytest.mark.parametrize(
    ("images", "pattern"),
    [
        (IMAGES[:0], "calibration set is empty"),
        (np.zeros_like(IMAGES), "calibration set is constant"),
        (np.repeat(IMAGES[:1], 4, axis=0), "calibration set is constant"),
        (IMAGES[0], r"shape \(3, 8, 8\)"),
        ((IMAGES * 100).astype(np.int8), "are int8: give preprocessed float images"),
        (np.where(IMAGES > 0.9, np.nan, IMAGES), "NaN or infinity: check the preprocessing"),
        (IMAGES * 2.5, r"hold only \[-1, 0.9922\]: pass the scale"),
        (IMAGES[:, :1], r"reads 3 channels, but gets 1"),
        (IMAGES[:, :, :2, :2], r"larger than its 2x2 input"),
    ],
)
def test_bad_calibration_sets(images, pattern):
    refuse(nn.Sequential(conv()), images, pattern)


def test_bad_options():
    network = nn.Sequential(conv())
    refuse(network, IMAGES, r"built for \(3, 9, 9\)", input_shape=(3, 9, 9))
    refuse(network, IMAGES, "unknown calibration method 'magic'", calibration_method="magic")
    refuse(network, IMAGES, "no int8 quantization", input_scale=0.0)
    refuse(network, IMAGES, "no int8 quantization", input_zero_point=300)


def test_costly_padding_is_announced():
    """A window that no TFLite padding computes: a PAD, and a warning that says how to avoid it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=2))
    (warning,) = quantize_network(network, IMAGES).warnings
    assert "layer '0' needs a PAD operator" in warning


def test_dead_layer_is_announced():
    network = nn.Sequential(conv(), nn.ReLU(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        network[0].bias.fill_(-100)
    assert (
        "answers zero for every calibration image" in quantize_network(network, IMAGES).warnings[0]
    )
