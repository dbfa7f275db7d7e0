# SPDX-License-Identifier: Apache-2.0
"""Classic knowledge distillation (Hinton et al., 2015): the teacher's softened probabilities."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.methods.base import Job, Need, PlainMethod, RecipeLike, register
from netbooster.methods.distillation import (
    DistillationSettings,
    distillation_loss,
    load_teacher,
    teacher_of,
)
from netbooster.methods.transfer import start_from_source
from netbooster.training.objective import Loss, Objective


class Distillation(Objective):
    """(1 - weight) * the task's loss + weight * :func:`distillation_loss`.

    Args:
        teacher: frozen here; answers in eval mode.
        resolution: height = width of the images that the teacher was trained on, in pixels;
            the student's images are resized to it. None: they are of that size.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        weight: float,
        temperature: float,
        loss: Loss,
        resolution: int | None = None,
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.temperature = temperature
        self.loss = loss
        self.resolution = resolution

    def teacher_at(self, step: int) -> nn.Module:
        """The teacher of one step."""
        return self.teacher

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        seen = inputs
        if self.resolution is not None and self.resolution != inputs.shape[-1]:
            size = (self.resolution, self.resolution)
            seen = F.interpolate(inputs, size=size, mode="bilinear", antialias=True)
        with torch.no_grad():
            answers = self.teacher_at(step)(seen)
        logits = model(inputs)
        hard = self.loss(logits, targets)
        soft = distillation_loss(logits, answers, self.temperature)
        return (1 - self.weight) * hard + self.weight * soft, logits


def distilled(job: Job) -> Distillation:
    """The objective of a job whose teacher is trained."""
    settings = job.recipe.settings(DistillationSettings)
    teacher, meta, _ = load_teacher(job)
    return Distillation(
        teacher,
        weight=settings.weight,
        temperature=settings.temperature,
        loss=job.loss,
        resolution=meta["preprocess"]["resolution"],
    )


@register
class KD(PlainMethod):
    """The network learns from a finished teacher."""

    name = "kd"
    sections = ("distillation",)
    transfers = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        start_from_source(self.model, job)
        self.objective = distilled(job)

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        super().check(recipe)
        teacher_of(recipe)

    @classmethod
    def needs(cls, recipe: RecipeLike) -> list[Need]:
        return [*super().needs(recipe), Need(teacher_of(recipe))]
