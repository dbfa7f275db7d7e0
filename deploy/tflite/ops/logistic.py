# SPDX-License-Identifier: Apache-2.0
"""LOGISTIC: 1 / (1 + exp(-x)), in [0, 1) by steps of 1/256."""

from deploy.tflite.fixed_point import logistic
from deploy.tflite.flatbuffer import Table
from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.ops.lookup import infer_lookup
from deploy.tflite.ops.saturating import check_saturating, lower_saturating
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.NONE
NEEDS_OPTIONS = False
FRACTION_BITS = 8

infer = infer_lookup


def read(options: Table | None) -> None:
    """It has no options."""


def check(graph: Graph, op: Operator) -> None:
    """Types and the prescribed output quantization."""
    check_saturating(graph, op, 1 / 256, -128)


def lower(graph: Graph, op: Operator) -> Layer:
    """A look-up."""
    return lower_saturating(graph, op, logistic, FRACTION_BITS)
