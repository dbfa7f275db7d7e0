# SPDX-License-Identifier: Apache-2.0
"""NetBooster with a teacher: the giant, too, learns from its answers."""

from netbooster.methods.base import Job, Need, RecipeLike, register
from netbooster.methods.distillation import teacher_of
from netbooster.methods.kd import distilled
from netbooster.methods.netbooster import NetBooster


@register
class NetBoosterKD(NetBooster):
    """NetBooster whose loss is that of classic distillation, in both phases."""

    name = "netbooster-kd"
    sections = ("netbooster", "distillation")

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.objective = distilled(job)

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        super().check(recipe)
        teacher_of(recipe)

    @classmethod
    def needs(cls, recipe: RecipeLike) -> list[Need]:
        return [*super().needs(recipe), Need(teacher_of(recipe))]
