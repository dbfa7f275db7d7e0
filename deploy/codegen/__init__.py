"""Graph and schedule to C files."""

from deploy.codegen.compiler import Compilation, compile_model, plan_model, write_model
from deploy.codegen.plan import Plan, PlannedLayer, PlannedTensor

__all__ = [
    "Compilation",
    "Plan",
    "PlannedLayer",
    "PlannedTensor",
    "compile_model",
    "plan_model",
    "write_model",
]
