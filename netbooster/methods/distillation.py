"""Knowledge distillation: objectives that add a teacher's answers to the labels.

- Classic (Hinton et al., 2015): the teacher's softened probabilities.
- tf-KD (Yuan et al., 2020): no teacher; a virtual one that is nearly always right ("manually
  designed regularization", the variant without any training of a teacher; their other variant,
  self-training, is classic distillation whose teacher is the student's own vanilla recipe).
- RCO-KD (Jin et al., 2019): the teacher as it was along its own training, one point after another.
- Rocket launching (Zhou et al., 2018): a larger network trained at the same time.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netbooster.training.objective import Objective


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher/T) || softmax(student/T)), mean over the batch.

    The factor T^2 keeps the size of the gradient when T changes.
    """
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


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


class Distillation(Objective):
    """(1 - weight) * cross-entropy + weight * :func:`distillation_loss`.

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
        label_smoothing: float,
        resolution: int | None = None,
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.temperature = temperature
        self.label_smoothing = label_smoothing
        self.resolution = resolution

    def teacher_at(self, step: int) -> nn.Module:
        """The teacher of one step."""
        return self.teacher

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        seen = inputs
        if self.resolution is not None and self.resolution != inputs.shape[-1]:
            size = (self.resolution, self.resolution)
            seen = F.interpolate(inputs, size=size, mode="bilinear", antialias=True)
        with torch.no_grad():
            answers = self.teacher_at(step)(seen)
        logits = model(inputs)
        hard = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        soft = distillation_loss(logits, answers, self.temperature)
        return (1 - self.weight) * hard + self.weight * soft, logits


class RouteDistillation(Distillation):
    """RCO-KD with equal intervals: each point of the teacher's route leads for as many steps.

    The student goes on from one point to the next, under one learning-rate curve, so that all
    methods of a table take the same steps at the same rates.

    Args:
        teacher: the teacher's network; its weights are replaced at each point.
        route: ``state_dict`` of each point, from early to finished.
        total_steps: of the student's training.
    """

    def __init__(
        self,
        teacher: nn.Module,
        route: Sequence[dict[str, Tensor]],
        *,
        total_steps: int,
        weight: float,
        temperature: float,
        label_smoothing: float,
        resolution: int | None = None,
    ) -> None:
        super().__init__(
            teacher,
            weight=weight,
            temperature=temperature,
            label_smoothing=label_smoothing,
            resolution=resolution,
        )
        self.route = list(route)
        self.total_steps = total_steps
        self._point: int | None = None

    def point(self, step: int) -> int:
        """Index in the route of the teacher of one step."""
        return min(step * len(self.route) // self.total_steps, len(self.route) - 1)

    def teacher_at(self, step: int) -> nn.Module:
        point = self.point(step)
        if point != self._point:
            self.teacher.load_state_dict(self.route[point])
            self._point = point
        return self.teacher


class TeacherFree(Objective):
    """tf-KD: (1 - weight) * cross-entropy + weight * KL(virtual teacher || student).

    The temperature softens the teacher alone, and KL is summed over the classes, as in their
    equation; the authors' code takes the mean over the classes, times a factor that it sets to
    their number for its ResNet-18.
    """

    def __init__(
        self, *, weight: float, temperature: float, correct_prob: float, label_smoothing: float
    ) -> None:
        self.weight = weight
        self.temperature = temperature
        self.correct_prob = correct_prob
        self.label_smoothing = label_smoothing

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        logits = model(inputs)
        hard = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        teacher = virtual_teacher(labels, logits.shape[1], self.correct_prob, self.temperature)
        soft = F.kl_div(F.log_softmax(logits, dim=1), teacher, reduction="batchmean")
        return (1 - self.weight) * hard + self.weight * soft, logits


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
    """CE(light) + CE(booster) + lambda * ||light logits - booster logits||^2, mean over the batch.

    The hint trains the light network only ("gradient block").
    """

    def __init__(self, *, hint_weight: float, label_smoothing: float) -> None:
        self.hint_weight = hint_weight
        self.label_smoothing = label_smoothing

    def __call__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        light, booster = model(inputs)
        smoothing = self.label_smoothing
        loss = F.cross_entropy(light, labels, label_smoothing=smoothing)
        loss = loss + F.cross_entropy(booster, labels, label_smoothing=smoothing)
        hint = (light - booster.detach()).square().sum(1).mean()
        return loss + self.hint_weight * hint, light
