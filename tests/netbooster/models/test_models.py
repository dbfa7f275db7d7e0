# SPDX-License-Identifier: Apache-2.0
"""Networks: budgets of the paper's Table 1, padding, registry, bad input."""

import pytest
import torch
from torch import fx, nn

from netbooster.common.budget import measure_budget
from netbooster.common.errors import NetBoosterError
from netbooster.models import build_model, model_info, model_names
from netbooster.models.layers import ConvBnAct, make_divisible, same_padding

# name, resolution, MACs, parameters with BN, without BN; None where the paper only gives digits
COUNTED = [
    ("mobilenetv2-tiny", 144, 23_499_152, 750_280, 737_864),
    ("mcunet-in3", 176, 81_785_520, 737_408, 722_032),
    # as published with torchvision's ResNet-50 (25,557,032) and with DeiT-Tiny (5,717,416)
    ("resnet50", 224, 4_089_184_256, 25_557_032, 25_503_912),
    ("deit-tiny", 224, 1_253_683_200, 5_717_416, 5_717_416),
]
ROUNDED = [
    ("mobilenetv2-tiny", 144, 23.5, 0.75, True),
    ("mcunet-in3", 176, 81.8, 0.74, True),
    ("mobilenetv2-50", 160, 50.2, 1.95, False),
    ("mobilenetv2-100", 160, 154.1, 3.47, False),
]


@pytest.mark.parametrize(("name", "resolution", "macs", "parameters", "folded"), COUNTED)
def test_exact_budget(name: str, resolution: int, macs: int, parameters: int, folded: int) -> None:
    model = build_model(name, num_classes=1000, resolution=resolution)
    budget = measure_budget(model, (1, 3, resolution, resolution))
    assert budget.macs == macs
    assert budget.parameters == parameters
    assert budget.parameters_without_bn == folded


@pytest.mark.parametrize(("name", "resolution", "mega_macs", "mega_parameters", "bn"), ROUNDED)
def test_table_1(
    name: str, resolution: int, mega_macs: float, mega_parameters: float, bn: bool
) -> None:
    model = build_model(name, num_classes=1000, resolution=resolution)
    budget = measure_budget(model, (1, 3, resolution, resolution))
    parameters = budget.parameters if bn else budget.parameters_without_bn
    assert round(budget.macs / 1e6, 1) == mega_macs
    assert round(parameters / 1e6, 2) == mega_parameters


def test_block_counts() -> None:
    tiny = build_model("mobilenetv2-tiny", num_classes=10, resolution=32)
    mcunet = build_model("mcunet-in3", num_classes=10, resolution=32)

    def expanding(model: nn.Module) -> int:
        return sum(name.endswith(".expand") for name, _ in model.named_modules())

    assert (expanding(tiny), expanding(mcunet)) == (16, 17)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 11, 144])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_ceil_output(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert after - before in (0, 1)


def test_padding_is_asymmetric_only_where_same_is() -> None:
    even = ConvBnAct(3, 8, size=8, kernel=3, stride=2)
    odd = ConvBnAct(3, 8, size=7, kernel=3, stride=2)
    assert isinstance(even.pad, nn.ZeroPad2d)
    assert even.pad.padding == (0, 1, 0, 1)
    assert odd.pad is None
    assert odd.conv.padding == (1, 1)
    assert list(even.state_dict()) == list(odd.state_dict())


@pytest.mark.parametrize(
    ("channels", "expected"), [(11.2, 16), (5.6, 8), (22.4, 24), (33.6, 32), (448, 448)]
)
def test_make_divisible(channels: float, expected: int) -> None:
    assert make_divisible(channels) == expected


@pytest.mark.parametrize("name", model_names())
def test_runs_traces_and_scales(name: str) -> None:
    torch.manual_seed(0)
    info = model_info(name)
    assert info.name == name
    assert info.default_resolution >= info.min_resolution
    model = build_model(name, num_classes=7, resolution=info.min_resolution, channels=1)
    x = torch.randn(2, 1, info.min_resolution, info.min_resolution)
    traced = fx.symbolic_trace(model.eval())
    expected = model(x)
    assert expected.shape == (2, 7)
    torch.testing.assert_close(traced(x), expected)
    last = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-6)


def test_same_state_dict_at_every_resolution() -> None:
    small = build_model("mcunet-in3", num_classes=10, resolution=48)
    large = build_model("mcunet-in3", num_classes=10, resolution=176)
    large.load_state_dict(small.state_dict(), strict=True)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(NetBoosterError, match="unknown model 'mobilenet'.*mobilenetv2-tiny"):
        build_model("mobilenet", num_classes=10, resolution=32)
    with pytest.raises(NetBoosterError, match="mcunet-in3"):
        model_info("x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 10, "resolution": 31}, "resolution 31 .* at least 32"),
        ({"num_classes": 0, "resolution": 32}, "num_classes=0"),
        ({"num_classes": 1, "resolution": 32, "channels": 0}, "channels=0"),
    ],
)
def test_bad_sizes(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(NetBoosterError, match=message):
        build_model("mobilenetv2-tiny", **arguments)


def test_patches_must_fit() -> None:
    with pytest.raises(NetBoosterError, match="deit-tiny: resolution 40 .* multiple of 16"):
        build_model("deit-tiny", num_classes=10, resolution=40)


def test_torchvision_weights_fit() -> None:
    from torchvision.models import resnet50

    published = resnet50(weights=None)
    ours = build_model("resnet50", num_classes=1000, resolution=224)
    ours.load_state_dict(published.state_dict(), strict=True)
