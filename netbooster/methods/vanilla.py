# SPDX-License-Identifier: Apache-2.0
"""Vanilla training: the network, the task's loss, one phase. The baseline of all others."""

from netbooster.methods.base import Job, PlainMethod, register
from netbooster.methods.transfer import start_from_source


@register
class Vanilla(PlainMethod):
    """The baseline; on a target data set it goes on from the source's finished network."""

    name = "vanilla"
    transfers = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        start_from_source(self.model, job)
