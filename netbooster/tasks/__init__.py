# SPDX-License-Identifier: Apache-2.0
"""Tasks by name. A task is one file here: a class derived from ``Task``, under ``@register``."""

from netbooster.tasks.classification import Classification, ClassPrediction
from netbooster.tasks.registry import load_task, register, task_names
from netbooster.training.task import Meter, Task

__all__ = [
    "DEFAULT",
    "ClassPrediction",
    "Classification",
    "Meter",
    "Task",
    "load_task",
    "register",
    "task_names",
]

DEFAULT = Classification.name
"""The task of a recipe that names none."""
