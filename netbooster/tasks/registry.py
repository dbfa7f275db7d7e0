# SPDX-License-Identifier: Apache-2.0
"""Which tasks there are."""

from typing import TypeVar

from netbooster.common.errors import NetBoosterError
from netbooster.training.task import Task

T = TypeVar("T", bound=type[Task])

_TASKS: dict[str, type[Task]] = {}


def register(task: T) -> T:
    """Enter a task under its name; to be used as a decorator of its class."""
    _TASKS[task.name] = task
    return task


def task_names() -> list[str]:
    """The names that :func:`load_task` knows."""
    return list(_TASKS)


def load_task(name: str) -> Task:
    """The task of a name.

    Raises:
        NetBoosterError: no task has it.
    """
    if name not in _TASKS:
        raise NetBoosterError(f"unknown task '{name}'; choose one of {', '.join(_TASKS)}")
    return _TASKS[name]()
