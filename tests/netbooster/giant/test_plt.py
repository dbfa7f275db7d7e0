# SPDX-License-Identifier: Apache-2.0
"""Decaying activations: exact at both ends, straight in between; the schedule; the checkpoint."""

import copy

import pytest
import torch
from torch import fx, nn

from netbooster.common.errors import NetBoosterError
from netbooster.giant.plt import DecayedActivation, PLTSchedule, get_alpha, set_alpha

ACTIVATIONS = [nn.ReLU(), nn.ReLU6(), nn.ReLU6(inplace=True), nn.Hardswish(), nn.SiLU(), nn.GELU(),
               nn.Tanh()]  # fmt: skip
X = torch.linspace(-9, 9, 721)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("inplace", [False, True])
def test_ends_are_exact(activation: nn.Module, inplace: bool) -> None:
    decayed = DecayedActivation(activation, inplace=inplace)
    assert torch.equal(decayed(X.clone()), activation(X.clone()))
    decayed.set_alpha(1.0)
    assert torch.equal(decayed(X.clone()), X)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_between_the_ends(activation: nn.Module, alpha: float) -> None:
    decayed = DecayedActivation(activation, inplace=True)
    decayed.set_alpha(alpha)
    x = X.clone().requires_grad_()
    y = decayed(x)
    expected = alpha * X + (1 - alpha) * activation(X.clone())
    torch.testing.assert_close(y.detach(), expected)
    (slope,) = torch.autograd.grad(y.sum(), x)
    reference = X.clone().requires_grad_()
    (inner,) = torch.autograd.grad(activation(reference * 1).sum(), reference)
    torch.testing.assert_close(slope, alpha + (1 - alpha) * inner)
    assert torch.equal(x.detach(), X)


def test_relu_is_the_papers_equation_2() -> None:
    decayed = DecayedActivation(nn.ReLU())
    decayed.set_alpha(0.25)
    torch.testing.assert_close(decayed(X), torch.maximum(0.25 * X, X))


def test_alpha_travels_in_the_state_dict() -> None:
    source = nn.Sequential(DecayedActivation(nn.ReLU6()), DecayedActivation(nn.ReLU6()))
    set_alpha(source, 0.3)
    target = nn.Sequential(DecayedActivation(nn.ReLU6()), DecayedActivation(nn.ReLU6()))
    target.load_state_dict(source.state_dict())
    assert get_alpha(target) == get_alpha(source) == pytest.approx(0.3)
    assert torch.equal(target(X.clone()), source(X.clone()))
    assert torch.equal(copy.deepcopy(source)(X.clone()), source(X.clone()))
    set_alpha(source, 1.0)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target(X), X)


def test_smallest_alpha_speaks_for_the_network() -> None:
    model = nn.Sequential(DecayedActivation(nn.ReLU()), DecayedActivation(nn.ReLU()))
    set_alpha(model, 1.0)
    model[1].set_alpha(0.5)
    assert get_alpha(model) == 0.5


def test_traceable() -> None:
    model = nn.Sequential(DecayedActivation(nn.Hardswish()))
    set_alpha(model, 0.5)
    assert torch.equal(fx.symbolic_trace(model)(X), model(X))


def test_schedule_rises_evenly_and_ends_exactly_at_one() -> None:
    schedule = PLTSchedule(7)
    values = [schedule.alpha(step) for step in range(10)]
    assert values[0] == 0.0
    assert values[7:] == [1.0, 1.0, 1.0]
    steps = [b - a for a, b in zip(values[:7], values[1:8], strict=True)]
    assert steps == pytest.approx([1 / 7] * 7)
    assert PLTSchedule(0).alpha(0) == 1.0


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_is_refused(alpha: float) -> None:
    with pytest.raises(NetBoosterError, match="between 0 and 1"):
        set_alpha(nn.Sequential(DecayedActivation(nn.ReLU())), alpha)


def test_bad_use() -> None:
    with pytest.raises(NetBoosterError, match="Linear has no activation that decays"):
        set_alpha(nn.Linear(1, 1), 0.5)
    with pytest.raises(NetBoosterError, match="decay_steps is -1"):
        PLTSchedule(-1)
