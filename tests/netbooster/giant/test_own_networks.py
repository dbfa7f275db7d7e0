# SPDX-License-Identifier: Apache-2.0
"""Networks of other people: found by tracing, expanded, contracted into the class they were."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.giant.contraction import contract, contraction_error
from netbooster.giant.expanded import EXPANDED
from netbooster.giant.expansion import ExpansionConfig, expand, expanded_layers, find_candidates
from netbooster.giant.plt import set_alpha

IMAGE = (2, 3, 32, 32)


class Swish(nn.Module):
    """An activation class that torch does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.5 * x)


class SameConv(nn.Conv2d):
    """A subclass that pads by its input's size, as timm's does."""

    def forward(self, x: Tensor) -> Tensor:
        total = max((-(-x.shape[-1] // self.stride[0]) - 1) * self.stride[0] + 3 - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, self.weight, None, self.stride, 0, groups=self.groups)


class BatchNormAct(nn.BatchNorm2d):
    """BN and activation in one class, as timm has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        x = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            0.1,
            self.eps,
        )
        return self.act(self.drop(x))


class Block(nn.Module):
    """An inverted residual with its activation given as a function."""

    def __init__(self, act: Any, fused: bool = False) -> None:
        super().__init__()
        self.act = act
        self.conv_pw = nn.Conv2d(8, 24, 1, bias=False)
        self.bn1 = BatchNormAct(24) if fused else nn.BatchNorm2d(24)
        self.conv_dw = SameConv(24, 24, 3, 1, groups=24, bias=False)
        self.bn2 = nn.BatchNorm2d(24)
        self.conv_pwl = nn.Conv2d(24, 8, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv_pw(x)))
        y = F.relu(self.bn2(self.conv_dw(y)))
        return x + self.bn3(self.conv_pwl(y))


class Net(nn.Module):
    """Two such blocks between a stem and a classifier."""

    def __init__(self, act: Any, fused: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.Sequential(Block(act, fused), Block(act, fused))
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


def hard_swish(x: Tensor) -> Tensor:
    """Written out, as hand-made MobileNetV3 do."""
    return x * F.relu6(x + 3.0, inplace=True) / 6.0


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def identity(x: Tensor) -> Tensor:
    return x


class VisionBlock(nn.Module):
    """A transformer block without any class of torch's beyond Linear and LayerNorm."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)
        self.fc1, self.fc2 = nn.Linear(16, 32), nn.Linear(32, 16)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v))
        return x + self.fc2(F.dropout(self.act(self.fc1(self.norm2(x))), 0.1, self.training))


class Vision(nn.Module):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.blocks = nn.ModuleList(VisionBlock(act) for _ in range(4))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def give_statistics(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def round_trip(model: nn.Module, example: Tensor, **choices: Any) -> nn.Module:
    """Expand, take one step, linearize, contract; the result has the original's form."""
    giant = expand(model, ExpansionConfig(ratio=2, **choices), example_input=example)
    keys = [(name, t.shape, t.dtype) for name, t in model.state_dict().items()]
    classes = [(name, type(m)) for name, m in model.named_modules()]
    assert any(isinstance(m, EXPANDED) for m in giant.modules())
    giant.train()(example).square().sum().backward()
    assert all(
        p.grad is not None for _, block in expanded_layers(giant) for p in block.parameters()
    )
    with torch.no_grad():
        for parameter in giant.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad.clamp(-1, 1)
    give_statistics(giant)
    set_alpha(giant, 1.0)
    contracted = contract(giant.double())
    assert type(contracted) is type(model)
    assert [(n, t.shape, t.dtype) for n, t in contracted.float().state_dict().items()] == keys
    assert [(n, type(m)) for n, m in contracted.named_modules()] == classes
    assert contraction_error(giant, contract(giant), example) < 1e-9
    return giant


@pytest.mark.parametrize(
    ("act", "fused"),
    [(Swish(), False), (hard_swish, False), (leaky, False), (F.mish, False), (identity, True)],
    ids=["class", "written-out", "keyword", "function", "inside-bn"],
)
def test_hand_written_blocks(act: Any, fused: bool) -> None:
    torch.manual_seed(0)
    model = Net(act, fused)
    example = torch.randn(IMAGE)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = find_candidates(model, example_input=example)
    assert [(c.name, c.kind) for c in found] == [
        ("blocks.0.conv_pw", "block"),
        ("blocks.1.conv_pw", "block"),
    ]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    values = torch.linspace(-4, 4, 33).view(1, 1, 1, 33)
    for candidate in found:
        assert candidate.activation is not None
        expected = F.silu(values) if fused else act(values.clone())
        torch.testing.assert_close(candidate.activation(values.clone()), expected)
    giant = round_trip(model, example, where=[0, 1])
    block = dict(expanded_layers(giant))["blocks.0.conv_pw"]
    block[2].set_alpha(0.25)
    x = values.double()
    torch.testing.assert_close(block[2](x), 0.25 * x + 0.75 * expected.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("act", [F.gelu, Swish(), torch.tanh], ids=["gelu", "class", "tanh"])
def test_hand_written_transformer(act: Any) -> None:
    torch.manual_seed(0)
    model = Vision(act)
    found = find_candidates(model)
    assert [(c.name, c.kind) for c in found] == [(f"blocks.{i}.fc1", "mlp") for i in range(4)]
    giant = round_trip(model, torch.randn(IMAGE))
    assert [name for name, _ in expanded_layers(giant)] == ["blocks.0.fc1", "blocks.2.fc1"]


@pytest.mark.parametrize(
    ("name", "blocks", "first"),
    [
        ("mobilenet_v3_small", 10, "features.2.block.0.0"),
        ("efficientnet_b0", 15, "features.2.0.block.0.0"),
        ("mnasnet0_5", 16, "layers.8.0.layers.0"),
        ("regnet_y_400mf", 16, "trunk_output.block1.block1-0.f.a.0"),
    ],
)
def test_torchvision_networks(name: str, blocks: int, first: str) -> None:
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None, num_classes=7)
    found = find_candidates(model)
    assert (len(found), found[0].name, found[0].kind) == (blocks, first, "block")
    give_statistics(model)
    giant = round_trip(model, torch.randn(2, 3, 64, 64))
    assert len(expanded_layers(giant)) == (blocks + 1) // 2


def test_what_only_reads_a_weight_does_not_grow() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.bn(F.conv2d(x, self.conv.weight)))

    assert find_candidates(Tied()) == []


def test_scaling_is_no_activation_and_subclasses_do_not_grow() -> None:
    class Scaled(nn.Module):
        def __init__(self, conv: nn.Module) -> None:
            super().__init__()
            self.conv, self.bn = conv, nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.bn(self.conv(x)) * 2.0 + 1.0

    class Plain(nn.Conv2d):
        pass

    (candidate,) = find_candidates(Scaled(nn.Conv2d(4, 4, 1, bias=False)))
    assert candidate.activation is None
    assert find_candidates(Scaled(Plain(4, 4, 1, bias=False))) == []
