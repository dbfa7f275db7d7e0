# SPDX-License-Identifier: Apache-2.0
"""Optimizers and number types of training."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from netbooster.training.config import TrainConfig

#: Vision transformers' inputs that are parameters; DeiT's recipe does not decay them.
_NOT_DECAYED = ("class_token", "pos_embedding")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of two or more dimensions decay; biases and the parameters of norms do not."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and not name.endswith(_NOT_DECAYED)
            (decayed if decays else others).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer; the loop sets the learning rate before each step."""
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True
    )


class Precision:
    """Number types of a step (AMP): float32 throughout, or convolutions in a shorter type.

    float16 underflows, so the loss is scaled up and gradients down, by a factor that adapts; a step
    with an infinite gradient is left out. The factor belongs to the resume state.
    """

    def __init__(self, amp: str, device: torch.device) -> None:
        """``amp``: "off", "bfloat16" or "float16"."""
        self._device = device.type
        self._enabled = amp != "off"
        self._type = torch.float16 if amp == "float16" else torch.bfloat16
        self._scaler = torch.amp.GradScaler(self._device, enabled=amp == "float16")

    def forward(self) -> AbstractContextManager[None]:
        """Around the forward pass and the loss."""
        return torch.autocast(self._device, self._type, enabled=self._enabled)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``."""
        self._scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step, in true scale."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; empty but for float16."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        if state:
            self._scaler.load_state_dict(state)
