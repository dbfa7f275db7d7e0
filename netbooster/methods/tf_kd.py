# SPDX-License-Identifier: Apache-2.0
"""tf-KD (Yuan et al., 2020): no teacher, but a virtual one that is nearly always right.

This is their "manually designed regularization", the variant without any training of a teacher;
their other one, self-training, is classic distillation whose teacher is the student's own vanilla
recipe.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.methods.base import Job, PlainMethod, register
from netbooster.methods.distillation import DistillationSettings, check_class_logits
from netbooster.training.objective import Loss, Objective


def virtual_teacher(
    labels: Tensor, classes: int, correct_prob: float, temperature: float
) -> Tensor:
    """tf-KD's teacher: softmax(p/T) where p is ``correct_prob`` at the label, the rest shared.

    Returns:
        Probabilities [N, classes]. As in the authors' released code, it is the probabilities p
        that T softens, not logits, so that a large T leaves a nearly uniform distribution.
    """
    other = (1 - correct_prob) / max(classes - 1, 1)
    table = torch.full((len(labels), classes), other, device=labels.device)
    table.scatter_(1, labels[:, None], correct_prob)
    return torch.softmax(table / temperature, dim=1)


class TeacherFree(Objective):
    """tf-KD: (1 - weight) * the task's loss + weight * KL(virtual teacher || student).

    The temperature softens the teacher alone, and KL is summed over the classes, as in their
    equation; the authors' code takes the mean over the classes, times a factor that it sets to
    their number for its ResNet-18.
    """

    def __init__(
        self, *, weight: float, temperature: float, correct_prob: float, loss: Loss
    ) -> None:
        self.weight = weight
        self.temperature = temperature
        self.correct_prob = correct_prob
        self.loss = loss

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        logits = model(inputs)
        hard = self.loss(logits, targets)
        teacher = virtual_teacher(targets, logits.shape[1], self.correct_prob, self.temperature)
        soft = F.kl_div(F.log_softmax(logits, dim=1), teacher, reduction="batchmean")
        return (1 - self.weight) * hard + self.weight * soft, logits


@register
class TFKD(PlainMethod):
    """The network learns from the labels, and from a virtual teacher made of them."""

    name = "tf-kd"
    sections = ("distillation",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        check_class_logits(job)
        settings = job.recipe.settings(DistillationSettings)
        self.objective = TeacherFree(
            weight=settings.weight,
            temperature=settings.temperature,
            correct_prob=settings.correct_prob,
            loss=job.loss,
        )
