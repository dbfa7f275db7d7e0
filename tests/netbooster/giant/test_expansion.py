# SPDX-License-Identifier: Apache-2.0
"""Which layers grow and into what: Table 5 and the giants' budgets, choices, starts, bad input."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import fx, nn

from netbooster.common.budget import Budget, measure_budget
from netbooster.common.errors import NetBoosterError
from netbooster.giant.expanded import ChannelScale, ExpandedConv, ExpandedLinear
from netbooster.giant.expansion import (
    ExpansionConfig,
    choose_indices,
    expand,
    expanded_layers,
    find_candidates,
)
from netbooster.giant.plt import DecayedActivation, get_alpha, set_alpha
from netbooster.models import build_model


def tiny(resolution: int = 32, classes: int = 10) -> nn.Module:
    return build_model("mobilenetv2-tiny", num_classes=classes, resolution=resolution)


def giant_budget(name: str, resolution: int, **choices: object) -> Budget:
    model = build_model(name, num_classes=1000, resolution=resolution)
    giant = expand(model, ExpansionConfig(**choices))
    return measure_budget(giant, (1, 3, resolution, resolution))


@pytest.mark.parametrize(
    ("where", "mega_flops", "mega_parameters"),
    [("first", 65.0, 0.83), ("middle", 49.6, 0.93), ("last", 51.2, 1.25), ("uniform", 63.9, 0.99)],
)
def test_table_5(where: str, mega_flops: float, mega_parameters: float) -> None:
    budget = giant_budget("mobilenetv2-tiny", 144, where=where, count=8)
    assert round(budget.flops / 1e6, 1) == mega_flops
    assert budget.parameters / 1e6 == pytest.approx(mega_parameters, abs=0.01)


def test_table_5_vanilla() -> None:
    budget = measure_budget(tiny(144, 1000), (1, 3, 144, 144))
    assert round(budget.flops / 1e6, 1) == 29.4
    assert round(budget.parameters / 1e6, 2) == 0.75


@pytest.mark.parametrize(
    ("name", "resolution", "macs"),
    [
        ("mobilenetv2-tiny", 144, 53_973_632),
        ("mobilenetv2-35", 160, 67_833_600),
        ("mobilenetv2-50", 160, 113_690_400),
        ("mobilenetv2-100", 160, 381_012_800),
        ("mcunet-in3", 176, 174_695_088),
    ],
)
def test_macs_of_the_giants(name: str, resolution: int, macs: int) -> None:
    assert giant_budget(name, resolution).macs == macs


def test_flops_rise_evenly_with_the_ratio() -> None:
    flops = [giant_budget("mobilenetv2-tiny", 144, ratio=r).flops for r in (2, 4, 6, 8)]
    assert flops == [37_567_096, 50_745_704, 63_924_312, 77_102_920]


@pytest.mark.parametrize(
    ("where", "count", "total", "expected"),
    [
        ("uniform", 8, 16, list(range(0, 16, 2))),
        ("uniform", 9, 17, list(range(0, 17, 2))),
        ("first", 8, 16, list(range(8))),
        ("middle", 8, 16, list(range(4, 12))),
        ("last", 8, 16, list(range(8, 16))),
        ("uniform", 16, 16, list(range(16))),
        ("uniform", 1, 16, [0]),
    ],
)
def test_choice_of_indices(where: str, count: int, total: int, expected: list[int]) -> None:
    assert choose_indices(where, count, total) == expected


def test_uniform_choices_are_distinct_and_in_range() -> None:
    for total in range(1, 40):
        for count in range(1, total + 1):
            chosen = choose_indices("uniform", count, total)
            assert len(set(chosen)) == count
            assert chosen[0] == 0
            assert chosen[-1] < total


def test_candidates_are_the_first_convolutions_of_blocks() -> None:
    names = [c.name for c in find_candidates(tiny())]
    assert names == [f"blocks.{i}.expand.conv" for i in range(1, 17)]
    mcunet = build_model("mcunet-in3", num_classes=10, resolution=48)
    assert len(find_candidates(mcunet)) == 17


def test_pointwise_kind_offers_every_1x1_convolution_with_bn() -> None:
    names = [c.name for c in find_candidates(tiny(), "pointwise")]
    assert len(names) == 16 + 17 + 1
    assert "head.conv" in names


@pytest.mark.parametrize("block", ["inverted_residual", "bottleneck", "basic"])
def test_block_layout(block: str) -> None:
    giant = expand(tiny(), ExpansionConfig(block=block, ratio=4, where=[2]))
    ((name, grown),) = expanded_layers(giant)
    assert name == "blocks.3.expand.conv"
    shapes = [
        (type(m).__name__, tuple(m.weight.shape)) if hasattr(m, "weight") else type(m).__name__
        for m in grown
    ]
    c, m = 8, 48
    k = 4 * c
    act = "DecayedActivation"
    expected = {
        "inverted_residual": [
            ("Conv2d", (k, c, 1, 1)), ("BatchNorm2d", (k,)), act,
            ("ChannelScale", (k, 1, 1, 1)), ("BatchNorm2d", (k,)), act, ("Conv2d", (m, k, 1, 1)),
        ],
        "bottleneck": [
            ("Conv2d", (k, c, 1, 1)), ("BatchNorm2d", (k,)), act,
            ("Conv2d", (k, k, 1, 1)), ("BatchNorm2d", (k,)), act, ("Conv2d", (m, k, 1, 1)),
        ],
        "basic": [
            ("Conv2d", (m, c, 1, 1)), ("BatchNorm2d", (m,)), act, ("Conv2d", (m, m, 1, 1)),
        ],
    }  # fmt: skip
    assert shapes == expected[block]
    inner = [m.activation for m in grown if isinstance(m, DecayedActivation)]
    assert all(type(a) is nn.ReLU6 for a in inner)


def test_original_is_untouched_and_other_weights_are_kept() -> None:
    model = tiny()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    giant = expand(model, ExpansionConfig())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    grown = {name for name, _ in expanded_layers(giant)}
    kept = giant.state_dict()
    assert all(
        torch.equal(v, kept[k]) for k, v in before.items() if k.rpartition(".")[0] not in grown
    )
    assert len(grown) == 8
    assert get_alpha(giant) == 0.0


def test_names_prefixes_and_indices_mean_the_same_layers() -> None:
    by = [
        [name for name, _ in expanded_layers(expand(tiny(), ExpansionConfig(where=where)))]
        for where in (["blocks.2.expand.conv", "blocks.5.expand.conv"], ["blocks.2", 4], [1, 4])
    ]
    assert by[0] == by[1] == by[2]


def test_same_seed_same_giant() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(expand(tiny(), ExpansionConfig()).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_scale_equals_the_depthwise_convolution() -> None:
    scale, depthwise = ChannelScale(6), nn.Conv2d(6, 6, 1, groups=6, bias=False)
    nn.init.normal_(scale.weight)
    depthwise.load_state_dict(scale.state_dict(), strict=True)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(scale(x), depthwise(x))


@pytest.mark.parametrize("block", ["inverted_residual", "bottleneck", "basic"])
def test_linear_start_composes_to_the_replaced_weights(block: str) -> None:
    torch.manual_seed(0)
    model = tiny()
    giant = expand(model, ExpansionConfig(block=block, where=[0], ratio=6))
    ((name, grown),) = expanded_layers(giant)
    weights = [m.weight for m in grown if isinstance(m, nn.Conv2d)]
    product = weights[0].flatten(1)
    for weight in weights[1:]:
        product = weight.flatten(1) @ product
    original = model.get_parameter(f"{name}.weight").flatten(1)
    cosine = F.cosine_similarity(product.flatten(), original.flatten(), dim=0)
    assert cosine.item() == pytest.approx(1.0, abs=1e-5)
    assert {m.bias[0].item() for m in grown if isinstance(m, nn.BatchNorm2d)} == {3.0}


def test_linear_start_is_nearly_linear_and_the_default_is_not() -> None:
    def curvature(**choices: object) -> float:
        torch.manual_seed(0)
        giant = expand(tiny(), ExpansionConfig(where=[0], **choices))
        grown = expanded_layers(giant)[0][1].train()
        x = torch.randn(16, 8, 12, 12)
        with torch.no_grad():
            bent = grown(x)
            set_alpha(giant, 1.0)
            straight = grown(x)
        return float((bent - straight).std() / straight.std())

    linear, tight, default = curvature(), curvature(bn_weight_init=0.5), curvature(init="default")
    assert tight < linear < 0.2 * default


def test_settings_of_the_start_arrive() -> None:
    torch.manual_seed(0)
    plain = expand(tiny(), ExpansionConfig(where=[0], init="default"))
    torch.manual_seed(0)
    tuned = expand(
        tiny(),
        ExpansionConfig(
            where=[0], init="default", bn_bias_init=1.5, bn_weight_init=0.5, weight_gain=2.0
        ),
    )
    (_, a), (_, b) = expanded_layers(plain)[0], expanded_layers(tuned)[0]
    assert a[1].bias[0].item() == 0.0
    assert (b[1].bias[0].item(), b[1].weight[0].item()) == (1.5, 0.5)
    torch.testing.assert_close(b.first.weight, 2 * a.first.weight)
    torch.testing.assert_close(b.last.weight, 2 * a.last.weight)


def test_giant_traces_and_runs_channels_last() -> None:
    torch.manual_seed(0)
    giant = expand(tiny(), ExpansionConfig()).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = giant(x)
    torch.testing.assert_close(fx.symbolic_trace(giant)(x), expected)
    last = giant.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)


class OwnBlocks(nn.Module):
    """A user's network: functional activations, no known class, one branch."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 8, 1, bias=False)
        self.enter_bn = nn.BatchNorm2d(8, eps=1e-3, momentum=0.2)
        self.leave = nn.Conv2d(8, 4, 1, bias=True)
        self.leave_bn = nn.BatchNorm2d(4)
        self.free = nn.Conv2d(4, 4, 1)
        self.three = nn.Conv2d(4, 4, 3)
        self.three_bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.hardswish(self.enter_bn(self.enter(x)))
        y = self.leave_bn(self.leave(y))
        return self.three_bn(self.three(y + self.free(y)))


def test_own_module_with_functional_activation() -> None:
    model = OwnBlocks()
    found = find_candidates(model)
    assert [(c.name, c.bn) for c in found] == [("enter", "enter_bn"), ("leave", "leave_bn")]
    giant = expand(model, ExpansionConfig(count=2))
    grown = dict(expanded_layers(giant))
    assert isinstance(grown["enter"][2].activation, nn.Hardswish)
    assert isinstance(grown["leave"][2].activation, nn.ReLU)
    assert (grown["enter"][1].eps, grown["enter"][1].momentum) == (1e-3, 0.2)
    assert giant(torch.randn(2, 3, 8, 8)).shape == (2, 4, 6, 6)


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x.shape) == 4
        for _ in range(int(x.shape[1] > 1)):
            x = self.body(x)
        return x


def test_export_helps_where_fx_fails() -> None:
    with pytest.raises(NetBoosterError, match="torch.fx cannot trace Untraceable.*example_input"):
        expand(Untraceable(), ExpansionConfig())
    example = torch.randn(2, 3, 8, 8)
    giant = expand(Untraceable(), ExpansionConfig(), example_input=example)
    ((name, grown),) = expanded_layers(giant)
    assert name == "body.0"
    assert isinstance(grown[2].activation, nn.ReLU6)
    assert giant(example).shape == (2, 8, 6, 6)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.net = nn.Sequential(nn.Linear(6, 24), nn.GELU(), nn.Dropout(0.1), nn.Linear(24, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.net(self.norm(x))


def test_first_layer_of_an_mlp_becomes_two() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(Mlp() for _ in range(4)))
    giant = expand(model, ExpansionConfig())
    grown = expanded_layers(giant)
    assert [name for name, _ in grown] == ["0.net.0", "2.net.0"]
    block = grown[0][1]
    assert isinstance(block, ExpandedLinear)
    assert block.first.weight.shape == (36, 6)
    assert block.last.weight.shape == (24, 36)
    assert isinstance(block[1].activation, nn.GELU)
    x = torch.randn(2, 5, 6)
    set_alpha(giant, 1.0)
    torch.testing.assert_close(giant.eval()(x), model.eval()(x))


def test_larger_kernel_needs_leave() -> None:
    with pytest.raises(NetBoosterError, match="allow_larger_kernel"):
        expand(tiny(), ExpansionConfig(kernel=3))
    giant = expand(tiny(), ExpansionConfig(kernel=3, allow_larger_kernel=True, where=[0]))
    grown = expanded_layers(giant)[0][1]
    assert isinstance(grown, ExpandedConv)
    assert grown[3].weight.shape == (48, 1, 3, 3)
    x = torch.randn(2, 8, 6, 6)
    assert grown(x).shape == (2, 48, 6, 6)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"where": ["blocks.99"]}, "no layer 'blocks.99'.*blocks.1.expand.conv"),
        ({"where": ["stem.conv"]}, "'stem.conv' has kernel \\(3, 3\\)"),
        ({"where": ["blocks.1.depthwise.conv"]}, "'blocks.1.depthwise.conv' has kernel"),
        ({"where": ["blocks"]}, "'blocks' holds 16 layers"),
        ({"where": ["classifier"]}, "'classifier' is not the first linear layer"),
        ({"where": [16]}, "no candidate 16.*0 to 15"),
        ({"where": [-1]}, "no candidate -1"),
        ({"where": [0, "blocks.1"]}, "'blocks.1.expand.conv' is listed twice"),
        ({"where": []}, "empty"),
        ({"where": [0], "count": 1}, "count does not go with"),
        ({"count": 17}, "count 17 is more than the 16"),
        ({"candidates": "mlp"}, "no layer of kind 'mlp'"),
        ({"kernel": 2, "allow_larger_kernel": True}, "must be odd"),
        ({"kernel": 3, "allow_larger_kernel": True, "block": "basic"}, "block 'basic'"),
    ],
)
def test_bad_choices(choices: dict[str, object], message: str) -> None:
    with pytest.raises(NetBoosterError, match=message):
        expand(tiny(), ExpansionConfig(**choices))


def test_layers_whose_bias_could_not_be_absorbed_are_refused() -> None:
    with pytest.raises(NetBoosterError, match="'free' cannot grow: .*no BN alone"):
        expand(OwnBlocks(), ExpansionConfig(where=["free"]))

    shared = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    with pytest.raises(NetBoosterError, match="'0.0' cannot grow: it runs more than once"):
        expand(nn.Sequential(shared, shared), ExpansionConfig(where=["0.0"]))


def test_expanding_twice_is_refused() -> None:
    with pytest.raises(NetBoosterError, match="expanded already"):
        expand(expand(tiny(), ExpansionConfig()), ExpansionConfig())


@pytest.mark.parametrize(
    "choices", [{"ratio": 0}, {"block": "dense"}, {"where": "all"}, {"count": 0}, {"blok": 1}]
)
def test_config_checks_itself(choices: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExpansionConfig(**choices)
