# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average (EMA) of a network's weights. Off unless the recipe sets it."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """avg = decay * avg + (1 - decay) * current after each optimizer step, BN statistics included.

    What is not averaged is copied: counters, and alpha of decaying activations, because an average
    of alpha would leave the averaged network curved when the network itself is linear.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights that ``model`` has now.

        Args:
            decay: in (0, 1); the average reaches back over about 1 / (1 - decay) steps.
        """
        self.decay = decay
        self._state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights after one more step in."""
        averages: list[Tensor] = []
        currents: list[Tensor] = []
        for name, tensor in model.state_dict().items():
            if _is_averaged(tensor):
                averages.append(self._state[name])
                currents.append(tensor)
        torch._foreach_lerp_(averages, currents, 1 - self.decay)
        self.copy_rest(model)

    @torch.no_grad()
    def copy_rest(self, model: nn.Module) -> None:
        """Take over what is not averaged: after a change of alpha, too."""
        for name, tensor in model.state_dict().items():
            if not _is_averaged(tensor):
                self._state[name].copy_(tensor)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged network's state."""
        return self._state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a state that :meth:`state_dict` gave."""
        for name, tensor in state.items():
            self._state[name].copy_(tensor)

    def restart(self, model: nn.Module) -> None:
        """Forget the past: the average becomes the weights that ``model`` has now."""
        self.load_state_dict(model.state_dict())


def _is_averaged(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim > 0
