# SPDX-License-Identifier: Apache-2.0
"""Progressive linearization (PLT): activations that decay to the identity, and their schedule.

Section 3.4 of the paper writes max(a*x, x) for ReLU. ReLU6 must lose its upper end, too, so the
form used for every activation is y = a*x + (1-a)*act(x); for ReLU the two are the same.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from netbooster.common.errors import NetBoosterError


class DecayedActivation(nn.Module):
    """y = alpha*x + (1-alpha)*act(x): exactly ``act`` at alpha 0, exactly the identity at alpha 1.

    ``alpha`` is a buffer, so that it travels in the ``state_dict``; change it by ``set_alpha``.

    Args:
        activation: any elementwise activation module; it is copied.
        inplace: may ReLU and ReLU6 overwrite their input while alpha is 0? Safe after a BN,
            whose backward pass does not need its output.
    """

    alpha: torch.Tensor

    def __init__(self, activation: nn.Module, *, inplace: bool = False) -> None:
        super().__init__()
        self.activation = copy.deepcopy(activation)
        if hasattr(self.activation, "inplace"):
            setattr(self.activation, "inplace", False)  # noqa: B010 - mypy knows no attribute
        self.inplace = inplace
        self.register_buffer("alpha", torch.zeros(()))
        # forward reads this mirror: reading the buffer would wait for the GPU in each call
        self._alpha = 0.0

    def set_alpha(self, alpha: float) -> None:
        """Set alpha in [0, 1].

        Raises:
            NetBoosterError: alpha lies outside.
        """
        if not 0.0 <= alpha <= 1.0:
            raise NetBoosterError(f"alpha is {alpha}; it must lie between 0 and 1")
        self.alpha.fill_(alpha)
        # rounded as the buffer is, so that a resumed run continues with the same bits
        self._alpha = float(torch.tensor(alpha, dtype=self.alpha.dtype))

    def get_alpha(self) -> float:
        """Current alpha."""
        return self._alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise; any shape."""
        if self._alpha == 1.0:
            return x
        if self._alpha == 0.0:
            if self.inplace and type(self.activation) is nn.ReLU:
                return F.relu(x, inplace=True)
            if self.inplace and type(self.activation) is nn.ReLU6:
                return F.relu6(x, inplace=True)
            return self.activation(x)
        if type(self.activation) is nn.ReLU:
            return F.leaky_relu(x, self._alpha)
        return torch.lerp(self.activation(x), x, self._alpha)

    def extra_repr(self) -> str:
        return f"alpha={self._alpha:g}"

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._alpha = float(self.alpha)


def decayed_activations(model: nn.Module) -> Iterator[tuple[str, DecayedActivation]]:
    """All decaying activations of a network with their qualified names."""
    for name, module in model.named_modules():
        if isinstance(module, DecayedActivation):
            yield name, module


def set_alpha(model: nn.Module, alpha: float) -> None:
    """Set alpha of every decaying activation.

    Raises:
        NetBoosterError: the network has none, or alpha lies outside [0, 1].
    """
    for module in _require(model):
        module.set_alpha(alpha)


def get_alpha(model: nn.Module) -> float:
    """The smallest alpha of the network: 1.0 means that every expanded layer is linear.

    Raises:
        NetBoosterError: the network has no decaying activation.
    """
    return min(module.get_alpha() for module in _require(model))


@dataclass(frozen=True)
class PLTSchedule:
    """Alpha rises evenly with each iteration from 0 to 1 over ``decay_steps`` iterations (E_d).

    ``decay_steps`` 0 removes the activations at once (E_d = 0 in Table 7).
    """

    decay_steps: int

    def __post_init__(self) -> None:
        if self.decay_steps < 0:
            raise NetBoosterError(f"decay_steps is {self.decay_steps}; it must not be negative")

    def alpha(self, step: int) -> float:
        """Alpha for iteration ``step`` (0-based), or after ``step`` iterations are done."""
        if step >= self.decay_steps:
            return 1.0
        return max(step, 0) / self.decay_steps


class PLT:
    """Progressive linearization of a giant: alpha rises evenly from 0 to 1 within some steps.

    Call :meth:`step` once an iteration, after the optimizer's; from ``steps`` iterations on the
    giant is linear where it was expanded, and can be contracted.

    Args:
        giant: what ``expand`` returned; its alpha is set at once.
        steps: iterations until alpha is 1; 0 removes the activations now.

    Raises:
        NetBoosterError: ``giant`` is not expanded, or ``steps`` is negative.
    """

    def __init__(self, giant: nn.Module, steps: int) -> None:
        self.giant = giant
        self.schedule = PLTSchedule(steps)
        self.done = 0
        set_alpha(giant, self.alpha)

    @property
    def alpha(self) -> float:
        """Alpha of the iteration that comes next, 0..1."""
        return self.schedule.alpha(self.done)

    def step(self) -> None:
        """One iteration is done."""
        self.done += 1
        set_alpha(self.giant, self.alpha)

    def state_dict(self) -> dict[str, int]:
        """What a resumed training needs."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.done = state["done"]
        set_alpha(self.giant, self.alpha)


def _require(model: nn.Module) -> list[DecayedActivation]:
    found = [module for _, module in decayed_activations(model)]
    if not found:
        raise NetBoosterError(
            f"{type(model).__name__} has no activation that decays; expand the network first"
        )
    return found
