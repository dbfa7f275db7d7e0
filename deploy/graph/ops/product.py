"""What every sum of products with constant weights ends in."""

import numpy as np

from deploy.graph.ir import Graph, Operator
from deploy.graph.layer import Requantization
from deploy.graph.numerics import (
    activation_range,
    convolution_multipliers,
    requantization,
    require_int8,
)
from deploy.graph.ops.bias import read_bias


def product_requantization(
    graph: Graph, op: Operator, rows: np.ndarray, axis: int
) -> Requantization:
    """Bias with the input's zero point folded in, multipliers, shifts and clamp.

    Args:
        rows: the weights of every output channel, int64 [channels, taps].
        axis: of the weights' tensor, the output channels.
    """
    weights = graph.input(op, 1)
    source = require_int8(graph, op, graph.input(op, 0), "input")
    target = require_int8(graph, op, graph.output(op), "output")
    channels = len(rows)
    folded = read_bias(graph, op, channels) - source.zero_points[0] * rows.sum(axis=1)
    return requantization(
        folded,
        np.abs(folded) + 128 * np.abs(rows).sum(axis=1),
        convolution_multipliers(graph, op, weights, channels, axis=axis),
        target.zero_points[0],
        activation_range(op.attributes.activation, target),
        ended=axis == 0,
    )
