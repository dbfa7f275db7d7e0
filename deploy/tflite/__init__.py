# SPDX-License-Identifier: Apache-2.0
"""From .tflite bytes to a typed, checked graph, and from its operators to kernel calls."""

from deploy.tflite.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.tflite.layer import Layer, RowWindow
from deploy.tflite.ops import find_operator, supported_operators
from deploy.tflite.ops.gather import copy_layer
from deploy.tflite.passes.nested import merge_concatenations
from deploy.tflite.passes.pads import fold_pads
from deploy.tflite.reader import parse_graph, read_graph
from deploy.tflite.tflm import TflmModel, tflm_available
from deploy.tflite.values import Constant, Requantization

__all__ = [
    "Constant",
    "DType",
    "Graph",
    "Layer",
    "Operator",
    "Quantization",
    "Requantization",
    "RowWindow",
    "Tensor",
    "TflmModel",
    "lower_graph",
    "parse_graph",
    "read_graph",
    "supported_operators",
    "tflm_available",
]


def lower_graph(graph: Graph) -> list[Layer]:
    """The kernel calls of a graph, in execution order, aliases included; at least one is a call."""
    layers = []
    for op in merge_concatenations(fold_pads(graph)).operators:
        module = find_operator(op.kind)
        assert module is not None  # read_graph refuses operators that are not known
        layers.append(module.lower(graph, op))
    if all(layer.alias for layer in layers):
        # Nothing is computed; a copy keeps the rest of the toolchain free of this case.
        layers[-1] = copy_layer(graph, graph.operators[-1])
    return layers
