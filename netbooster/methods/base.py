# SPDX-License-Identifier: Apache-2.0
"""What a training method is: one class, which says all that a run needs to know of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import torch
from torch import nn

from netbooster.common.errors import NetBoosterError
from netbooster.common.sections import Section
from netbooster.data import Dataset
from netbooster.models.config import ModelConfig
from netbooster.training.config import TrainConfig
from netbooster.training.distributed import World
from netbooster.training.networks import ALONE, FINISHED, build_network
from netbooster.training.objective import Loss, Objective, TaskLoss
from netbooster.training.phases import Phase, single_phase
from netbooster.training.task import Task

S = TypeVar("S", bound=Section)
M = TypeVar("M", bound="type[Method]")


class RecipeLike(Protocol):
    """What a method reads of a recipe."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def method(self) -> str | None: ...
    @property
    def route(self) -> int: ...
    @property
    def model(self) -> ModelConfig: ...
    @property
    def train(self) -> TrainConfig: ...
    @property
    def teacher(self) -> "RecipeLike | None":
        """Recipe of the network whose answers this one learns."""
        ...

    @property
    def source(self) -> "RecipeLike | None":
        """Recipe of the network that this one goes on from, on another data set."""
        ...

    def settings(self, section: type[S]) -> S:
        """The recipe's section of a class; its defaults where the recipe has none."""
        ...


class Need(NamedTuple):
    """A run that must have got so far before another begins."""

    recipe: RecipeLike
    file: str = FINISHED
    """What it must have written, in a run folder beside."""


@dataclass(frozen=True)
class Job:
    """One training: what, on which data, for which task, where."""

    recipe: RecipeLike
    dataset: Dataset
    task: Task
    device: torch.device
    world: World = ALONE
    folder: Path | None = None
    """The run's folder, beside which what it builds on lies; None where it builds on nothing."""

    @property
    def steps(self) -> int:
        """Optimizer steps in total."""
        return self.recipe.train.total_steps(self.dataset.split_size("train"))

    @property
    def loss(self) -> Loss:
        """The task's loss with the recipe's label smoothing."""
        return partial(self.task.loss, label_smoothing=self.recipe.train.label_smoothing)

    def network(self) -> nn.Module:
        """The recipe's network, freshly initialized from its seed."""
        recipe = self.recipe
        return build_network(recipe.model.name, self.dataset, self.task, recipe.seed)

    def beside(self, recipe: RecipeLike, file: str) -> Path:
        """A file in the run folder of a recipe that this one builds on."""
        if self.folder is None:
            raise NetBoosterError(
                f"recipe {self.recipe.name}: builds on {recipe.name}; train it in a folder"
            )
        return self.folder.parent / recipe.name / file


@dataclass(frozen=True)
class Kept:
    """The network that a run is for, in its original form, and what its file says beside."""

    network: nn.Module
    extra: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


class Method(ABC):
    """A training method: made for a job, it holds what trains.

    Args:
        job: what is to be trained.

    Raises:
        NetBoosterError: a network that it builds on is missing or does not fit.
    """

    name: ClassVar[str]
    """What a recipe calls it; the name of its phase, where it has one alone."""
    sections: ClassVar[tuple[str, ...]] = ()
    """Sections of a recipe that it reads, beside those of every training."""
    grows: ClassVar[bool] = False
    """Whether what trains is a giant, which is contracted in the end."""
    transfers: ClassVar[bool] = False
    """Whether it can go on from a network of another data set."""

    model: nn.Module
    """What trains."""
    objective: Objective
    """What a step minimizes."""

    @abstractmethod
    def __init__(self, job: Job) -> None: ...

    @classmethod
    def check(cls, recipe: RecipeLike) -> None:
        """Refuse a recipe that the method cannot follow.

        Raises:
            ValueError: says what is wrong with it.
        """
        source = recipe.source
        if source is None or source.method is None:
            return
        if find_method(source.method).grows != cls.grows:
            raise ValueError(
                f"method '{cls.name}' cannot go on from {source.name}, whose method is "
                f"'{source.method}': a giant comes from a giant"
            )

    @classmethod
    def needs(cls, recipe: RecipeLike) -> list[Need]:
        """Runs that come before this one."""
        return [Need(recipe.source)] if recipe.source is not None else []

    @classmethod
    def phases(cls, recipe: RecipeLike, total: int) -> list[Phase]:
        """The phases of ``total`` optimizer steps together.

        Raises:
            NetBoosterError: too few steps.
        """
        return [single_phase(cls.name, recipe.train, total)]

    def described(self) -> dict[str, Any]:
        """What a network that a phase ``keeps`` needs said in its file, as plain values."""
        return {}

    def finish(self, trained: nn.Module) -> Kept:
        """From what trained to the network that is kept."""
        return Kept(trained)


class PlainMethod(Method):
    """A method that trains the recipe's network as it is; others change its objective."""

    def __init__(self, job: Job) -> None:
        self.model = job.network()
        self.objective = TaskLoss(job.loss)


_METHODS: dict[str, type[Method]] = {}


def register(method: M) -> M:
    """Enter a method under its name; to be used as a decorator of its class."""
    _METHODS[method.name] = method
    return method


def method_names() -> list[str]:
    """The names that :func:`find_method` knows."""
    return list(_METHODS)


def find_method(name: str) -> type[Method]:
    """The method of a name.

    Raises:
        NetBoosterError: no method has it.
    """
    if name not in _METHODS:
        raise NetBoosterError(f"unknown method '{name}'; choose one of {', '.join(_METHODS)}")
    return _METHODS[name]


def section_users(section: str) -> Sequence[str]:
    """Names of the methods that read a section of a recipe; empty where it is no method's."""
    if section == "transfer":
        return [name for name, method in _METHODS.items() if method.transfers]
    return [name for name, method in _METHODS.items() if section in method.sections]
