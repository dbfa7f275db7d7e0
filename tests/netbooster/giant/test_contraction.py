# SPDX-License-Identifier: Apache-2.0
"""Contraction of giants: exact, back to the original's class and state_dict, refusals by name."""

import copy

import pytest
import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.contraction import contract, contraction_error
from netbooster.giant.expansion import ExpansionConfig, expand, expanded_layers
from netbooster.giant.plt import set_alpha
from netbooster.models import build_model


def worn(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A giant at alpha 1 whose weights and BN statistics look like those of a trained one."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.5, 0.3)
    set_alpha(model, 1.0)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(shape) + 0.3)
    return model


@pytest.mark.parametrize("name", ["mobilenetv2-tiny", "mcunet-in3"])
@pytest.mark.parametrize("block", ["inverted_residual", "bottleneck", "basic"])
def test_exact_and_interchangeable_with_the_original(name: str, block: str) -> None:
    torch.manual_seed(0)
    original = build_model(name, num_classes=9, resolution=48)
    giant = worn(expand(original, ExpansionConfig(block=block, ratio=4)), (4, 3, 48, 48))
    x = torch.randn(2, 3, 48, 48)

    contracted = contract(giant)

    assert type(contracted) is type(original)
    assert contraction_error(giant, contracted, x) < 1e-5
    double = copy.deepcopy(giant).double()
    assert contraction_error(double, contract(double), x.double()) < 1e-12
    shapes = {k: v.shape for k, v in original.state_dict().items()}
    assert {k: v.shape for k, v in contracted.state_dict().items()} == shapes
    again = build_model(name, num_classes=9, resolution=48)
    again.load_state_dict(contracted.state_dict(), strict=True)
    assert torch.equal(again.eval()(x), contracted.eval()(x))


def test_giant_is_left_alone() -> None:
    giant = worn(
        expand(build_model("mobilenetv2-tiny", num_classes=3, resolution=32), ExpansionConfig()),
        (2, 3, 32, 32),
    )
    before = {k: v.clone() for k, v in giant.state_dict().items()}
    contract(giant)
    assert all(torch.equal(before[k], v) for k, v in giant.state_dict().items())
    assert len(expanded_layers(giant)) == 8


def test_wrapped_giant_contracts() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    giant = worn(expand(model, ExpansionConfig()), (4, 3, 5, 5))
    wrapped = nn.ModuleDict({"inner": giant})["inner"]
    outer = nn.Sequential(nn.Identity(), wrapped)
    x = torch.randn(2, 3, 5, 5)
    assert contraction_error(outer, contract(outer), x) < 1e-5


@pytest.mark.parametrize(
    ("stride", "padding"),
    [(s, p) for s in (1, (1, 2), 2) for p in (0, (1, 2))] + [(1, "same"), (2, "valid")],
)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_form_of_the_replaced_layer(
    stride: int | tuple[int, int], bias: bool, kernel: int, padding: int | tuple[int, int] | str
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 1, stride, padding, bias=bias), nn.BatchNorm2d(6))
    config = ExpansionConfig(where=["0"], kernel=kernel, allow_larger_kernel=kernel > 1)
    giant = worn(expand(model, config), (4, 4, 9, 9)).double()
    contracted = contract(giant)
    conv = contracted[0]
    assert isinstance(conv, nn.Conv2d)
    assert (conv.bias is not None) == bias
    assert conv.kernel_size == (kernel, kernel)
    x = torch.randn(3, 4, 9, 9).double()
    assert contraction_error(giant, contracted, x) < 1e-12
    assert contracted(x).shape == model.double()(x).shape


def test_mlp() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 12), nn.GELU(), nn.Linear(12, 3))
    giant = expand(model, ExpansionConfig(init="default")).double()
    set_alpha(giant, 1.0)
    contracted = contract(giant)
    assert list(contracted.state_dict()) == list(model.state_dict())
    assert contraction_error(giant, contracted, torch.randn(4, 7, 5).double()) < 1e-12


def test_alpha_below_one_is_refused_by_name() -> None:
    giant = expand(build_model("mobilenetv2-tiny", num_classes=3, resolution=32), ExpansionConfig())
    with pytest.raises(NetBoosterError, match=r"blocks\.1\.expand\.conv\.act1: alpha is 0, not 1"):
        contract(giant)
    set_alpha(giant, 1.0)
    giant.get_submodule("blocks.7.expand.conv.act2").set_alpha(0.999)
    with pytest.raises(NetBoosterError, match=r"blocks\.7\.expand\.conv\.act2: alpha is 0\.999"):
        contract(giant)


def test_nothing_expanded() -> None:
    with pytest.raises(NetBoosterError, match="Linear has no expanded layer"):
        contract(nn.Linear(2, 2))


def test_one_block_alone_is_refused() -> None:
    giant = expand(build_model("mobilenetv2-tiny", num_classes=3, resolution=32), ExpansionConfig())
    with pytest.raises(NetBoosterError, match="whole giant"):
        contract(expanded_layers(giant)[0][1])


def test_bias_without_a_place_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8))
    giant = worn(expand(model, ExpansionConfig()), (4, 3, 5, 5))
    giant[1] = nn.Identity()
    with pytest.raises(NetBoosterError, match="^0: the BN '1' that followed"):
        contract(giant)


def test_bn_without_statistics_is_refused_by_name() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8, track_running_stats=False)
    )
    giant = expand(model, ExpansionConfig(bn_bias_init=1.0))
    set_alpha(giant, 1.0)
    with pytest.raises(NetBoosterError, match="^1: this BN keeps no running statistics"):
        contract(giant)


def test_error_is_relative_and_sees_a_difference() -> None:
    a, b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        a.weight.fill_(1.0)
        b.weight.fill_(1.1)
    assert contraction_error(a, b, torch.ones(1, 2)) == pytest.approx(0.1, rel=1e-5)
    assert contraction_error(a, a, torch.ones(1, 2)) == 0.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda() -> None:
    model = build_model("mobilenetv2-tiny", num_classes=3, resolution=32).cuda()
    giant = expand(model, ExpansionConfig()).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last)
    for alpha in (0.0, 0.5, 1.0):
        set_alpha(giant, alpha)
        giant(x).sum().backward()
    assert contraction_error(giant.double(), contract(giant), x.double()) < 1e-12
