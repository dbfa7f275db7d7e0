# SPDX-License-Identifier: Apache-2.0
"""Appendix A of the paper: ResNet-50 and DeiT-Tiny grow and contract exactly."""

import pytest
import torch
from torch import nn

from netbooster.common.budget import measure_budget
from netbooster.common.errors import NetBoosterError
from netbooster.giant.contraction import (
    contract,
    contraction_error,
    enlarge_kernels,
    enlarged_kernels,
)
from netbooster.giant.expansion import ExpansionConfig, expand, expanded_layers
from netbooster.giant.plt import set_alpha
from netbooster.models import build_model

LARGER = {"kernel": 3, "allow_larger_kernel": True}


def _with_statistics(giant: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """A linearized giant whose BNs have seen data, so that every merged term is non-trivial."""
    set_alpha(giant, 1.0)
    giant.train()
    with torch.no_grad():
        giant(inputs)
    return giant.eval()


def test_deit_grows_the_first_linear_layer_of_every_other_mlp_and_contracts() -> None:
    torch.manual_seed(0)
    network = build_model("deit-tiny", num_classes=10, resolution=32)
    giant = expand(network, ExpansionConfig())
    blocks = expanded_layers(giant)
    assert [name.split(".")[2] for name, _ in blocks] == [
        f"encoder_layer_{index}" for index in (0, 2, 4, 6, 8, 10)
    ]
    assert all(
        (block.first.out_features, block.last.out_features) == (6 * 192, 768) for _, block in blocks
    )
    inputs = torch.randn(2, 3, 32, 32)
    # the linear start makes the giant nearly the network itself
    torch.testing.assert_close(giant.eval()(inputs), network.eval()(inputs), rtol=0.2, atol=0.02)
    set_alpha(giant, 1.0)
    contracted = contract(giant)
    assert contraction_error(giant, contracted, inputs) < 1e-5
    original = network.state_dict()
    assert {k: v.shape for k, v in contracted.state_dict().items()} == {
        k: v.shape for k, v in original.items()
    }
    assert type(contracted) is type(network)


def test_resnet_grows_the_first_layer_of_every_other_block() -> None:
    network = build_model("resnet50", num_classes=10, resolution=32)
    giant = expand(network, ExpansionConfig(ratio=2))
    assert [name for name, _ in expanded_layers(giant)] == [
        f"layer{stage}.{block}.conv1"
        for stage, block in ((1, 0), (1, 2), (2, 1), (2, 3), (3, 1), (3, 3), (3, 5), (4, 1))
    ]
    with pytest.raises(NetBoosterError, match="allow_larger_kernel"):
        expand(network, ExpansionConfig(kernel=3))


def test_resnet_with_a_larger_kernel_contracts_into_a_3x3_layer() -> None:
    torch.manual_seed(0)
    network = build_model("resnet50", num_classes=10, resolution=32)
    inputs = torch.randn(4, 3, 32, 32)
    where: list[int | str] = ["layer1.1", "layer2.0"]
    giant = _with_statistics(expand(network, ExpansionConfig(where=where, **LARGER)), inputs)
    contracted = contract(giant)
    assert contraction_error(giant, contracted, inputs) < 1e-5
    before = measure_budget(network, (1, 3, 32, 32))
    after = measure_budget(contracted, (1, 3, 32, 32))
    # 1x1 from 256 channels becomes 3x3: 8 more taps each, at 8x8 pixels
    assert after.parameters - before.parameters == 8 * 256 * (64 + 128)
    assert after.macs - before.macs == 8 * 256 * (64 + 128) * 8 * 8

    kernels = enlarged_kernels(giant)
    assert kernels == {"layer1.1.conv1": 3, "layer2.0.conv1": 3}
    again = build_model("resnet50", num_classes=10, resolution=32)
    enlarge_kernels(again, kernels)
    again.load_state_dict(contracted.state_dict(), strict=True)
    torch.testing.assert_close(again.eval()(inputs), contracted(inputs))
    with pytest.raises(NetBoosterError, match="no 1x1 convolution 'layer1.0.conv2'"):
        enlarge_kernels(again, {"layer1.0.conv2": 3})
