"""The phases of an arm: stretches of optimizer steps, and the learning rate within each."""

import math
from dataclasses import dataclass

from netbooster.common.errors import NetBoosterError
from netbooster.experiment.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """A stretch of steps with one optimizer and one learning-rate curve."""

    name: str
    first: int
    """Step of the arm at which the phase begins."""
    steps: int
    lr: float
    final_lr: float = 0.0
    warmup_steps: int = 0
    decay_steps: int | None = None
    """E_d in steps: alpha rises evenly to 1 within them (PLT); None leaves alpha alone."""

    @property
    def end(self) -> int:
        return self.first + self.steps

    def learning_rate(self, step: int) -> float:
        """At step 0..steps-1 of the phase: linear warm-up to ``lr``, then half a cosine."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * share)) / 2


def vanilla_phases(recipe: Recipe, total: int) -> list[Phase]:
    """The baseline: one phase of ``total`` steps."""
    train = recipe.train
    return [
        Phase(
            recipe.method or "vanilla", 0, total, train.lr, warmup_steps=round(train.warmup * total)
        )
    ]


def netbooster_phases(recipe: Recipe, total: int) -> list[Phase]:
    """The giant's training and PLT (section 4.1), ``total`` steps together.

    On a target data set (section 4.3) the giant comes trained, and all steps are PLT.

    Raises:
        NetBoosterError: too few steps for two phases.
    """
    train, boost = recipe.train, recipe.netbooster
    if recipe.transfer is not None:
        return [_plt_phase(recipe, 0, total)]
    giant = min(max(1, round(boost.giant_share * total)), total - 1)
    if giant < 1:
        raise NetBoosterError(
            f"recipe {recipe.name}: {total} step is too short for giant and PLT; raise train.steps"
        )
    return [
        Phase(
            "giant",
            0,
            giant,
            boost.giant_lr or train.lr,
            final_lr=boost.giant_final_lr,
            warmup_steps=round(train.warmup * giant),
        ),
        _plt_phase(recipe, giant, total - giant),
    ]


def _plt_phase(recipe: Recipe, first: int, steps: int) -> Phase:
    boost = recipe.netbooster
    return Phase(
        "plt",
        first,
        steps,
        boost.plt_lr,
        warmup_steps=round(boost.plt_warmup * steps),
        decay_steps=round(boost.decay_share * steps),
    )
