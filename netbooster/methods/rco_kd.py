# SPDX-License-Identifier: Apache-2.0
"""RCO-KD (Jin et al., 2019): the teacher as it was along its own training, point after point."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from netbooster.methods.base import Job, Need, PlainMethod, RecipeLike, register
from netbooster.methods.distillation import DistillationSettings, load_teacher, teacher_of
from netbooster.methods.kd import Distillation
from netbooster.training.checkpoint import load_torch
from netbooster.training.distributed import World, on_writer
from netbooster.training.objective import Loss, route_file, route_steps


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
        loss: Loss,
        resolution: int | None = None,
    ) -> None:
        super().__init__(
            teacher,
            weight=weight,
            temperature=temperature,
            loss=loss,
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


@register
class RCOKD(PlainMethod):
    """The network follows a teacher that has kept its route."""

    name = "rco-kd"
    sections = ("distillation",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        settings = job.recipe.settings(DistillationSettings)
        teacher, meta, folder = load_teacher(job)
        points = teacher_of(job.recipe).route
        self.objective = RouteDistillation(
            teacher,
            _load_route(folder, meta["steps"], points, teacher, job.world),
            total_steps=job.steps,
            weight=settings.weight,
            temperature=settings.temperature,
            loss=job.loss,
            resolution=meta["preprocess"]["resolution"],
        )

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        super().check(recipe)
        teacher = teacher_of(recipe)
        if teacher.route < 2:
            raise ValueError(
                f"method '{cls.name}' needs a teacher that keeps its route: set 'route' of the "
                f"recipe {teacher.name} to 2 or more"
            )

    @classmethod
    def needs(cls, recipe: RecipeLike) -> list[Need]:
        return [*super().needs(recipe), Need(teacher_of(recipe))]


def _load_route(
    folder: Path, total: int, points: int, teacher: nn.Module, world: World
) -> list[dict[str, Tensor]]:
    """Weights along the teacher's training; the last are those of the finished ``teacher``."""
    steps = route_steps(total, points)[:-1]
    remedy = "run the recipe again"
    route: list[dict[str, Tensor]] = on_writer(
        world,
        lambda: [load_torch(route_file(folder, step), remedy)["state_dict"] for step in steps],
    )
    return [*route, {name: t.clone() for name, t in teacher.state_dict().items()}]
