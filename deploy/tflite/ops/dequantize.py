# SPDX-License-Identifier: Apache-2.0
"""DEQUANTIZE, which only the model's border may have: see :mod:`deploy.tflite.border`."""

from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.ops.lookup import infer_lookup
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.DequantizeOptions
NEEDS_OPTIONS = False

infer = infer_lookup


def read(options: Table | None) -> None:
    """DequantizeOptions has no fields."""


def check(graph: Graph, op: Operator) -> None:
    """Always an error: those at the border are gone when operators are checked."""
    raise graph.error(
        op,
        f"makes {graph.output(op).label} float32 inside the model; only int8 runs here, and "
        "DEQUANTIZE may only make a model output that nothing else reads",
    )


def lower(graph: Graph, op: Operator) -> Layer:
    """Never reached: ``check`` refuses."""
    raise graph.error(op, "has no kernel")
