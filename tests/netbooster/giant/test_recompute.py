# SPDX-License-Identifier: Apache-2.0
"""Blocks that compute their maps again train to the same bits, and keep less memory."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from netbooster.data import DataConfig, load_dataset
from netbooster.giant.expanded import ExpandedConv, ExpandedLinear, set_recompute
from netbooster.giant.expansion import ExpansionConfig, expand
from netbooster.giant.plt import set_alpha
from netbooster.models import build_model
from netbooster.tasks import Classification
from netbooster.training.config import TrainConfig
from netbooster.training.loop import Trainer


def conv_block(**choices: Any) -> ExpandedConv:
    torch.manual_seed(1)
    return ExpandedConv(
        nn.Conv2d(3, 7, 1, bias=False),
        **{
            "block": "inverted_residual",
            "ratio": 6,
            "activation": nn.ReLU6(),
            "bn": nn.BatchNorm2d(7, eps=1e-3, momentum=0.2),
            **choices,
        },
    )


def linear_block() -> ExpandedLinear:
    torch.manual_seed(1)
    return ExpandedLinear(nn.Linear(11, 5), ratio=4, activation=nn.GELU())


def recomputing(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module)
    set_recompute(module, True)
    return module


def steps(module: nn.Module, x: Tensor, alpha: float) -> dict[str, Tensor]:
    """Output, gradients and buffers of two accumulated training steps of a copy of a block."""
    module = copy.deepcopy(module).train()
    set_alpha(module, alpha)
    result = {}
    torch.manual_seed(2)
    for part in ("first", "second"):
        given = (x if part == "first" else x + 1).clone().requires_grad_()
        y = module(given)
        (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
        assert given.grad is not None
        result |= {f"{part} y": y.detach(), f"{part} x": given.grad}
    result |= {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return result | dict(module.named_buffers())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"block": "bottleneck"},
        {"block": "basic"},
        {"kernel": 3},
        {"activation": nn.RReLU()},
        {"bn": nn.BatchNorm2d(7, momentum=None)},
    ],
    ids=["inverted", "bottleneck", "basic", "kernel 3", "random activation", "cumulative"],
)
def test_the_same_bits_as_the_plain_block(choices: dict[str, Any], alpha: float) -> None:
    module, x = conv_block(**choices), torch.randn(5, 3, 12, 11)
    module.fused = False
    ours, theirs = steps(recomputing(module), x, alpha), steps(module, x, alpha)
    assert ours.keys() == theirs.keys()
    assert theirs["bn1.num_batches_tracked"] == 2
    for name, expected in theirs.items():
        assert torch.equal(ours[name], expected), name


def test_a_linear_layer_s_block_likewise() -> None:
    module, x = linear_block(), torch.randn(6, 9, 11)
    ours, theirs = steps(recomputing(module), x, 0.3), steps(module, x, 0.3)
    for name, expected in theirs.items():
        assert torch.equal(ours[name], expected), name


def test_frozen_statistics_stay_frozen() -> None:
    module = conv_block().train()
    module[1].eval()
    before = copy.deepcopy(module.state_dict())
    recomputing(module)(torch.randn(5, 3, 12, 11)).sum().backward()
    given = recomputing(module)
    given(torch.randn(5, 3, 12, 11)).sum().backward()
    assert torch.equal(given.state_dict()["bn1.running_var"], before["bn1.running_var"])
    assert given.state_dict()["bn2.num_batches_tracked"] == 1


def test_the_buffers_stay_the_same_tensors_even_after_an_error() -> None:
    module = recomputing(conv_block()).train()
    buffers = dict(module.named_buffers())
    module(torch.randn(5, 3, 12, 11)).sum().backward()
    y = module(torch.randn(5, 3, 12, 11))
    module[0].forward = None  # the second run fails
    with pytest.raises(TypeError):
        y.sum().backward()
    assert all(now is buffers[name] for name, now in module.named_buffers())


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_keeps_the_input_alone(alpha: float) -> None:
    module, x = conv_block().train(), torch.randn(5, 3, 12, 11).requires_grad_()
    set_alpha(module, alpha)

    def saved(run: nn.Module) -> int:
        """Bytes that are alive between forward and backward pass, parameters left out."""
        own = {p.untyped_storage().data_ptr() for p in run.parameters()}
        kept: dict[int, torch.UntypedStorage] = {}

        def pack(t: Tensor) -> Tensor:
            if t.untyped_storage().data_ptr() not in own:
                kept[t.untyped_storage().data_ptr()] = t.untyped_storage()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            run(x)
        return sum(storage.nbytes() for storage in kept.values())

    assert saved(recomputing(module)) <= 4 * x.numel()
    assert saved(module) > 2 * 4 * x.numel() * 6


def test_evaluation_and_tracing_see_the_modules() -> None:
    module = recomputing(conv_block())
    with torch.no_grad():
        assert module.train()(torch.randn(2, 3, 4, 4)).grad_fn is None
    graph = fx.symbolic_trace(nn.Sequential(module).train())
    assert "0.bn2" in {str(node.target) for node in graph.graph.nodes}


def test_a_giant_trains_to_the_same_bits() -> None:
    torch.manual_seed(0)
    giant = expand(
        build_model("mobilenetv2-tiny", num_classes=5, resolution=32), ExpansionConfig()
    ).to(memory_format=torch.channels_last)
    x, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 5
    models = (giant, recomputing(giant))
    for model in models:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        for alpha in (0.0, 0.5, 1.0):
            set_alpha(model, alpha)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
    for (name, plain), again in zip(
        models[0].state_dict().items(), models[1].state_dict().values(), strict=True
    ):
        assert torch.equal(plain, again), name


@pytest.mark.parametrize("on", [True, False])
def test_the_recipe_s_key_decides(on: bool) -> None:
    data = load_dataset(DataConfig(name="digits", resolution=16))
    model = nn.Sequential(conv_block(), nn.Flatten(), linear_block())
    config = TrainConfig(steps=1, recompute=on)
    trainer = Trainer(model, data, config, task=Classification(), seed=0)
    assert [trainer.model[0].recompute, trainer.model[2].recompute] == [on, on]
