# SPDX-License-Identifier: Apache-2.0
"""Training methods by name. A method is one file here: a class under ``@register``.

It says which sections of a recipe it reads, which runs come before its own, what trains, what a
step minimizes, in which phases, and which network is kept in the end. Nobody compares its name.
"""

from netbooster.methods.base import (
    Job,
    Kept,
    Method,
    Need,
    PlainMethod,
    RecipeLike,
    find_method,
    method_names,
    register,
    section_users,
)
from netbooster.methods.distillation import DistillationSettings
from netbooster.methods.dropblock import DropBlock, DropBlockConfig
from netbooster.methods.kd import KD
from netbooster.methods.netaug import NetAug, NetAugConfig
from netbooster.methods.netbooster import NetBooster, NetBoosterConfig
from netbooster.methods.netbooster_kd import NetBoosterKD
from netbooster.methods.rco_kd import RCOKD
from netbooster.methods.rocket_launch import RocketLaunching
from netbooster.methods.tf_kd import TFKD
from netbooster.methods.vanilla import Vanilla

__all__ = [
    "DEFAULT",
    "KD",
    "RCOKD",
    "TFKD",
    "DistillationSettings",
    "DropBlock",
    "DropBlockConfig",
    "Job",
    "Kept",
    "Method",
    "NetAug",
    "NetAugConfig",
    "NetBooster",
    "NetBoosterConfig",
    "NetBoosterKD",
    "Need",
    "PlainMethod",
    "RecipeLike",
    "RocketLaunching",
    "Vanilla",
    "find_method",
    "method_names",
    "register",
    "section_users",
]

DEFAULT = NetBooster.name
"""The method of a recipe that names none."""
