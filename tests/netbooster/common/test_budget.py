# SPDX-License-Identifier: Apache-2.0
"""Counting on networks whose cost can be written down by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netbooster.common.budget import measure_budget
from netbooster.common.errors import NetBoosterError
from netbooster.giant.expanded import ChannelScale
from netbooster.models import build_model


def test_grouped_strided_convolution_with_bn() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU())
    budget = measure_budget(model, (1, 4, 8, 8))
    outputs = 8 * 4 * 4
    assert budget.macs == outputs * 2 * 9
    assert budget.flops == budget.macs + 5 * outputs
    assert budget.parameters == 8 * 2 * 9 + 8 + 16
    assert budget.bn_parameters == 16
    assert budget.parameters_without_bn == 8 * 2 * 9 + 8
    assert budget.peak_activation_bytes == 4 * 8 * 8 + outputs
    assert budget.tensor_shapes == [("0", (8, 4, 4)), ("1", (8, 4, 4)), ("2", (8, 4, 4))]


def test_scale_counts_like_the_depthwise_convolution_that_it_is() -> None:
    scale = measure_budget(ChannelScale(6), (1, 6, 5, 5))
    depthwise = measure_budget(nn.Conv2d(6, 6, 1, groups=6, bias=False), (1, 6, 5, 5))
    assert (scale.macs, scale.parameters) == (depthwise.macs, depthwise.parameters) == (150, 6)


def test_functional_calls_count() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 12))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x.flatten(1), self.weight) @ torch.ones(5, 2)

    budget = measure_budget(Functional(), (1, 3, 2, 2))
    assert budget.macs == 12 * 5 + 5 * 2
    assert budget.parameters == 60


def test_attention_counts_its_matrix_products() -> None:
    tokens, width = 7, 8

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    budget = measure_budget(Attention(), (1, tokens, width))
    assert budget.macs == 4 * tokens * width * width + 2 * tokens * tokens * width


class Shortcut(nn.Module):
    """x + project(expand(x)): the shortcut's input lives until the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(4, 24, 1)
        self.act = nn.ReLU6()
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.project = nn.Conv2d(24, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.project(self.depthwise(self.act(self.expand(x))))


def test_peak_holds_the_shortcut() -> None:
    pixels = 6 * 6
    assert measure_budget(Shortcut(), (1, 4, 6, 6)).peak_activation_bytes == (4 + 24 + 24) * pixels


@pytest.mark.parametrize(
    ("name", "resolution", "peak"),
    # Tiny: a 72x72x48 map and the 36x36x48 map computed from it; MCUNet: the 44x44x80 map twice
    # beside the 44x44x16 shortcut
    [("mobilenetv2-tiny", 144, 311_040), ("mcunet-in3", 176, 340_736)],
)
def test_peak_of_the_papers_networks(name: str, resolution: int, peak: int) -> None:
    model = build_model(name, num_classes=1000, resolution=resolution)
    assert measure_budget(model, (1, 3, resolution, resolution)).peak_activation_bytes == peak


def test_measuring_changes_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    measure_budget(model, (2, 3, 4, 4))
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(3, 3)
    budget = measure_budget(nn.Sequential(layer, layer), (1, 3))
    assert (budget.parameters, budget.macs) == (12, 18)


def test_wrong_input_names_network_and_shape() -> None:
    model = build_model("mobilenetv2-tiny", num_classes=2, resolution=32)
    with pytest.raises(NetBoosterError, match=r"MobileNetV2 cannot run .*\(1, 4, 32, 32\)"):
        measure_budget(model, (1, 4, 32, 32))
