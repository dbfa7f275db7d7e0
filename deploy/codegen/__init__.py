"""Graph and schedule to C files."""

from deploy.codegen.compiler import compile_model
from deploy.codegen.plan import Plan, PlannedLayer, PlannedTensor

__all__ = ["Plan", "PlannedLayer", "PlannedTensor", "compile_model"]
