# SPDX-License-Identifier: Apache-2.0
"""The phases of a run: stretches of optimizer steps, and the learning rate within each."""

import math
from dataclasses import dataclass

from netbooster.training.config import TrainConfig


@dataclass(frozen=True)
class Phase:
    """A stretch of steps with one optimizer and one learning-rate curve."""

    name: str
    first: int
    """Step of the run at which the phase begins."""
    steps: int
    lr: float
    final_lr: float = 0.0
    warmup_steps: int = 0
    decay_steps: int | None = None
    """E_d in steps: alpha rises evenly to 1 within them (PLT); None leaves alpha alone."""
    lr_key: str = "train.lr"
    """The recipe's key behind ``lr``, for errors."""
    keeps: str = ""
    """File of the run in which the network at the phase's end is kept; empty: in none."""

    @property
    def end(self) -> int:
        return self.first + self.steps

    def learning_rate(self, step: int) -> float:
        """At step 0..steps-1 of the phase: linear warm-up to ``lr``, then half a cosine."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * share)) / 2


def single_phase(name: str, config: TrainConfig, total: int) -> Phase:
    """One phase of ``total`` steps, at the rate and with the warm-up of ``[train]``."""
    return Phase(name, 0, total, config.lr, warmup_steps=round(config.warmup * total))
