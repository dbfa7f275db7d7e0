"""From .tflite bytes to a typed, checked graph, and from its operators to kernel calls."""

from deploy.graph.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.graph.layer import Constant, Layer, Requantization, RowWindow
from deploy.graph.ops import find_operator, supported_operators
from deploy.graph.reader import parse_graph, read_graph

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
    "lower_graph",
    "parse_graph",
    "read_graph",
    "supported_operators",
]


def lower_graph(graph: Graph) -> list[Layer]:
    """The kernel calls of a graph, in execution order, aliases included."""
    layers = []
    for op in graph.operators:
        module = find_operator(op.kind)
        assert module is not None  # read_graph refuses operators that are not known
        layers.append(module.lower(graph, op))
    return layers
