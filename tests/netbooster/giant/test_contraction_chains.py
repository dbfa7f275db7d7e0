# SPDX-License-Identifier: Apache-2.0
"""Merging of arbitrary chains against the chain itself in float64, and what must be refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.contraction import merge_chain, merge_conv2d
from netbooster.giant.expanded import ChannelScale
from netbooster.giant.plt import DecayedActivation

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


def randomize(chain: nn.Sequential) -> nn.Sequential:
    """Float64, eval mode, and statistics that no default hides."""
    for module in chain.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.3, 2.0)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        if isinstance(module, ChannelScale):
            nn.init.normal_(module.weight)
    return chain.double().eval()


def check(chain: nn.Sequential, x: torch.Tensor) -> None:
    randomize(chain)
    with torch.no_grad():
        expected = chain(x.double())
        actual = merge_chain(chain)(x.double())
    assert actual.shape == expected.shape
    scale = max(float(expected.abs().max()), 1.0)
    assert float((actual - expected).abs().max()) / scale < 1e-9


@st.composite
def conv_chains(draw: st.DrawFn) -> tuple[int, nn.Sequential]:
    """Convolutions of any kernel, stride, dilation and grouping; padding where it stays exact."""
    channels = start = draw(st.sampled_from([2, 4, 6]))
    layers: list[nn.Module] = []
    if draw(st.booleans()):
        layers.append(nn.ZeroPad2d(draw(st.tuples(*[st.integers(0, 2)] * 4))))
    for index in range(draw(st.integers(1, 3))):
        out = draw(st.sampled_from([2, 4, 6]))
        groups = draw(st.sampled_from([g for g in (1, 2, channels) if out % g == 0]))
        layers.append(
            nn.Conv2d(
                channels,
                out,
                draw(SIZES),
                draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
                padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) if index == 0 else 0,
                dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
                groups=groups,
                bias=draw(st.booleans()),
            )
        )
        channels = out
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(channels, affine=draw(st.booleans())))
        if draw(st.booleans()):
            layers.append(ChannelScale(channels))
    return start, nn.Sequential(*layers)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(conv_chains(), st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_random_convolution_chains(made: tuple[int, nn.Sequential], extra: tuple[int, int]) -> None:
    torch.manual_seed(0)
    channels, chain = made
    check(chain, torch.randn(2, channels, 40 + extra[0], 40 + extra[1]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pointwise=st.booleans(),
    first_stride=st.integers(1, 3),
    kernel=SIZES,
    stride=st.integers(1, 2),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(9, 14), st.integers(9, 14)),
)
def test_inner_padding_behind_pointwise_layers_without_bias(
    pointwise: bool,
    first_stride: int,
    kernel: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    size: tuple[int, int],
) -> None:
    """Allowed exactly there: zeros in front of a 1x1 layer without bias stay zeros behind it."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 1, first_stride, padding=int(pointwise), bias=False)
    second = nn.Conv2d(4, 2, kernel, stride, padding, dilation)
    check(nn.Sequential(first, ChannelScale(4), second), torch.randn(2, 3, *size))


def test_equation_4_written_out() -> None:
    """k = k1 + k2 - 1, with the sums of Eq. 4 as loops, k1 != k2 and rectangular."""
    torch.manual_seed(0)
    k1, k2 = (3, 2), (2, 4)
    first = nn.Conv2d(2, 3, k1, bias=False).double()
    second = nn.Conv2d(3, 2, k2, bias=False).double()
    # the paper's formula is for true convolution; torch correlates, so the kernels are flipped
    a, b = first.weight.flip(2, 3), second.weight.flip(2, 3)
    expected = torch.zeros(2, 2, k1[0] + k2[0] - 1, k1[1] + k2[1] - 1, dtype=torch.float64)
    for i in range(expected.shape[2]):
        for j in range(expected.shape[3]):
            for s in range(max(0, i - k1[0] + 1), min(k2[0] - 1, i) + 1):
                for t in range(max(0, j - k1[1] + 1), min(k2[1] - 1, j) + 1):
                    expected[:, :, i, j] += b[:, :, s, t] @ a[:, :, i - s, j - t]
    merged = merge_chain([first, second])
    torch.testing.assert_close(merged.kernel, expected.flip(2, 3))
    assert not merged.bias.any()


def test_stride_of_the_first_layer_dilates_the_second() -> None:
    merged = merge_chain([nn.Conv2d(1, 1, 1, stride=3), nn.Conv2d(1, 1, 3, stride=2)])
    assert tuple(merged.kernel.shape[2:]) == (7, 7)
    assert merged.stride == (6, 6)


def test_groups_survive_where_both_layers_have_them() -> None:
    chain = [nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 2, groups=4)]
    merged = merge_chain(chain)
    assert merged.groups == 4
    assert merged.kernel.shape == (16, 2, 4, 4)
    check(nn.Sequential(*chain), torch.randn(1, 8, 9, 9))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_random_linear_chains(plan: list[tuple[int, bool, bool]]) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    width = 5
    for out, bias, norm in plan:
        layers.append(nn.Linear(width, out, bias=bias))
        if norm:
            layers.append(nn.BatchNorm1d(out))
        layers.append(nn.Dropout(0.5))
        width = out
    check(nn.Sequential(*layers), torch.randn(6, 5))


def test_bn_first_and_nested_chain_and_decayed_activation() -> None:
    act = DecayedActivation(nn.ReLU6())
    act.set_alpha(1.0)
    chain = nn.Sequential(
        nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 4, 2), act, nn.Identity()), nn.Conv2d(4, 1, 3)
    )
    check(chain, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_named_padding(padding: str, kernel: int) -> None:
    chain = nn.Sequential(nn.Conv2d(2, 3, kernel, padding=padding, dilation=2), nn.Conv2d(3, 1, 2))
    check(chain, torch.randn(1, 2, 9, 9))


def test_merge_conv2d_keeps_dtype_and_form() -> None:
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)).eval()
    conv = merge_conv2d(chain)
    assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (2, 2), (1, 1))
    assert conv.weight.dtype == torch.float32
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(conv(x), chain(x), rtol=1e-4, atol=1e-5)


PADDED = nn.Conv2d(2, 2, 3, padding=1)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        # zeros around a layer whose input has a bias, or was computed from several pixels
        ([("a", nn.Conv2d(2, 2, 1)), ("b", PADDED)], "^b: pads its input.*have a bias"),
        ([("a", nn.Conv2d(2, 2, 3, 1, 1, bias=False)), ("b", PADDED)], "^b: pads.*more than one"),
        ([("a", nn.Conv2d(2, 2, 1, bias=False)), ("act", nn.ReLU())], "^act: ReLU is not linear"),
        (
            [("a", nn.Conv2d(2, 2, 1)), ("act", DecayedActivation(nn.ReLU()))],
            "^act: alpha is 0, not 1",
        ),
        (
            [("bn", nn.BatchNorm2d(2, track_running_stats=False))],
            "^bn: this BN keeps no running statistics",
        ),
        (
            [("a", nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))],
            "^a: padding mode 'reflect'",
        ),
        ([("a", nn.Conv2d(2, 3, 1)), ("b", nn.Conv2d(2, 2, 1))], "^b: takes 2 channels.*give 3"),
        ([("a", nn.Linear(2, 2)), ("b", nn.Conv2d(2, 2, 1))], "^b: Conv2d works on another axis"),
        ([("a", nn.ConvTranspose2d(2, 2, 1))], "^a: ConvTranspose2d is not linear|cannot"),
        ([("a", nn.ZeroPad2d(-1)), ("b", PADDED)], "^a: negative padding"),
        ([("a", PADDED), ("p", nn.ZeroPad2d(1))], "ends with padding"),
        ([("a", nn.Identity())], "without any linear layer"),
    ],
)
def test_refusals_name_the_layer(chain: list[tuple[str, nn.Module]], message: str) -> None:
    with pytest.raises(NetBoosterError, match=message):
        merge_chain(chain)


def test_bn_in_front_of_padding_is_refused_only_if_it_shifts() -> None:
    bn = nn.BatchNorm2d(2)
    x = torch.randn(1, 2, 5, 5).double()
    chain = nn.Sequential(bn, nn.Conv2d(2, 2, 3, padding=1)).double().eval()
    torch.testing.assert_close(merge_chain(chain)(x), chain(x))
    nn.init.ones_(bn.bias)
    with pytest.raises(NetBoosterError, match="^1: pads its input"):
        merge_chain(chain)


def test_asymmetric_padding_does_not_fit_a_conv2d() -> None:
    chain = [("pad", nn.ZeroPad2d((0, 1, 0, 1))), ("conv", nn.Conv2d(2, 2, 3, 2))]
    assert merge_chain(chain).padding == (0, 1, 0, 1)
    with pytest.raises(NetBoosterError, match="^pad: the merged padding .* is not symmetric"):
        merge_conv2d(chain)
