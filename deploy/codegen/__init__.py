# SPDX-License-Identifier: Apache-2.0
"""Graph and schedule to C files."""

from deploy.codegen.compiler import SCHEDULES, Compilation, compile_model, plan_model, write_model
from deploy.codegen.plan import Extent, Plan, PlannedLayer, PlannedTensor

__all__ = [
    "SCHEDULES",
    "Compilation",
    "Extent",
    "Plan",
    "PlannedLayer",
    "PlannedTensor",
    "compile_model",
    "plan_model",
    "write_model",
]
