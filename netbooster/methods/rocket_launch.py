# SPDX-License-Identifier: Apache-2.0
"""Rocket launching (Zhou et al., 2018): a larger network trained at the same time."""

from torch import Tensor, nn

from netbooster.methods.base import Job, Kept, PlainMethod, RecipeLike, register
from netbooster.methods.distillation import DistillationSettings, check_class_logits, teacher_of
from netbooster.training.objective import Loss, Objective


class RocketNetworks(nn.Module):
    """The light network and its booster in one module, so that they train as one.

    They share no layers: the booster is of another family here. In eval mode only the light
    network runs.
    """

    def __init__(self, light: nn.Module, booster: nn.Module) -> None:
        super().__init__()
        self.light = light
        self.booster = booster

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits [N, classes] of the light network; in training mode also of the booster."""
        return (self.light(x), self.booster(x)) if self.training else self.light(x)


class RocketLaunch(Objective):
    """loss(light) + loss(booster) + lambda * ||light - booster||^2 of the logits, batch mean.

    The hint trains the light network only ("gradient block").
    """

    def __init__(self, *, hint_weight: float, loss: Loss) -> None:
        self.hint_weight = hint_weight
        self.loss = loss

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        light, booster = model(inputs)
        loss = self.loss(light, targets) + self.loss(booster, targets)
        hint = (light - booster.detach()).square().sum(1).mean()
        return loss + self.hint_weight * hint, light


@register
class RocketLaunching(PlainMethod):
    """The booster is the network of the teacher's recipe, of which nothing else counts."""

    name = "rocket-launch"
    sections = ("distillation",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        check_class_logits(job)
        data, booster = job.dataset, teacher_of(job.recipe).model.name
        self.model = RocketNetworks(
            self.model, job.task.build(booster, data.labels, data.preprocess)
        )
        hint = job.recipe.settings(DistillationSettings).hint_weight
        self.objective = RocketLaunch(hint_weight=hint, loss=job.loss)

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        super().check(recipe)
        teacher_of(recipe)

    def finish(self, trained: nn.Module) -> Kept:
        assert isinstance(trained, RocketNetworks)
        return Kept(trained.light)
