# SPDX-License-Identifier: Apache-2.0
"""What the methods that learn from a teacher's answers share."""

from pathlib import Path
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.sections import Positive, Section
from netbooster.methods.base import Job, RecipeLike
from netbooster.training.networks import FINISHED, load_contracted


class DistillationSettings(Section):
    """How much, and how, a network learns from another one's answers."""

    weight: Annotated[float, Field(gt=0, le=1)] = 0.9
    """alpha in (1 - alpha) * cross-entropy + alpha * distillation. The default and that of
    ``temperature`` are those of Tian et al. (2019), whom the paper follows on CIFAR-100."""
    temperature: Positive = 4.0
    correct_prob: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """tf-kd: what the teacher that is not there gives to the right class."""
    hint_weight: Positive = 0.03
    """rocket-launch: lambda of the squared distance between both networks' logits."""


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher/T) || softmax(student/T)), mean over the batch.

    The factor T^2 keeps the size of the gradient when T changes.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def teacher_of(recipe: RecipeLike) -> RecipeLike:
    """The teacher's recipe of a method that has one.

    Raises:
        ValueError: the recipe names none.
    """
    if recipe.teacher is None:
        raise ValueError(f"method '{recipe.method}' needs 'distillation.teacher', a recipe")
    return recipe.teacher


def load_teacher(job: Job) -> tuple[nn.Module, dict[str, Any], Path]:
    """The finished network of the teacher on the job's device, what its file says, its folder.

    Raises:
        NetBoosterError: it is missing, knows other classes, or sees images in another way.
    """
    check_class_logits(job)
    path = job.beside(teacher_of(job.recipe), FINISHED)
    teacher, meta = load_contracted(path, job.task, job.world)
    if meta["labels"] != list(job.dataset.labels):
        raise NetBoosterError(
            f"{path}: the teacher knows other classes than data set {job.dataset.name}; name a "
            "teacher's recipe with the same classes"
        )
    own, theirs = job.dataset.preprocess, meta["preprocess"]
    if (list(own.mean), list(own.std)) != (theirs["mean"], theirs["std"]):
        raise NetBoosterError(
            f"{path}: the teacher's images are normalized by other data.mean and data.std than "
            f"those of {job.recipe.name}; use the same in both recipes"
        )
    return teacher.to(job.device), meta, path.parent


def check_class_logits(job: Job) -> None:
    """Raises NetBoosterError where the task's answers are no logits of classes."""
    if not job.task.class_logits:
        raise NetBoosterError(
            f"recipe {job.recipe.name}: method '{job.recipe.method}' compares logits of classes, "
            f"which task '{job.task.name}' has not; use another method"
        )
