# SPDX-License-Identifier: Apache-2.0
"""Going on, on another data set, from what a source's run has left (section 4.3)."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.methods.base import Job
from netbooster.training.networks import FINISHED, GIANT, load_contracted, load_giant
from netbooster.training.task import Task


def start_from_source(network: nn.Module, job: Job) -> None:
    """Give a network the weights of the source's finished one, but for the head.

    Nothing happens where the recipe names no source.

    Raises:
        NetBoosterError: the source's network is missing or another one.
    """
    if job.recipe.source is not None:
        path = job.beside(job.recipe.source, FINISHED)
        source, _ = load_contracted(path, job.task, job.world)
        take_features(network, source, path, job.task, job.dataset.labels)


def start_from_giant(giant: nn.Module, job: Job) -> None:
    """The same for giants."""
    if job.recipe.source is not None:
        path = job.beside(job.recipe.source, GIANT)
        source, _ = load_giant(path, job.task, job.world)
        take_features(giant, source, path, job.task, job.dataset.labels)


def take_features(
    model: nn.Module, source: nn.Module, path: Path, task: Task, labels: Sequence[str]
) -> None:
    """Copy all weights but the head's, which is new for the target's ``labels``.

    Args:
        path: where ``source`` was read, for errors.

    Raises:
        NetBoosterError: the networks differ in more than their heads.
    """
    head = task.head(model, labels)
    kept = {name for name in model.state_dict() if not name.startswith(f"{head}.")}
    state = source.state_dict()
    for name in sorted({n for n in state if not n.startswith(f"{head}.")} ^ kept):
        raise NetBoosterError(
            f"{path}: holds another network (tensor '{name}'); the source's recipe must have the "
            "same model and netbooster.expansion"
        )
    own = model.state_dict()
    for name in kept:
        if own[name].shape != state[name].shape:
            raise NetBoosterError(
                f"{path}: holds another network (tensor '{name}' is {tuple(state[name].shape)}, "
                f"not {tuple(own[name].shape)}); the source's recipe must have the same model, "
                "netbooster.expansion and data.channels"
            )
    model.load_state_dict({**own, **{name: state[name] for name in kept}})
