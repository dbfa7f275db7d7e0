# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D."""

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.layer import Layer
from deploy.tflite.ops.pooling import check_pool, infer_pool, lower_pool, read_pool
from deploy.tflite.schema import BuiltinOptions

OPTIONS = BuiltinOptions.Pool2DOptions
NEEDS_OPTIONS = True

read = read_pool
check = check_pool
infer = infer_pool


def lower(graph: Graph, op: Operator) -> Layer:
    """The pooling kernel."""
    return lower_pool(graph, op, "nb_average_pool_s8")
