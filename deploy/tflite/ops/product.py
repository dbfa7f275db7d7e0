# SPDX-License-Identifier: Apache-2.0
"""What every sum of products with constant weights ends in."""

from dataclasses import replace

import numpy as np

from deploy.tflite.ir import Graph, Operator
from deploy.tflite.numerics import (
    activation_range,
    convolution_multipliers,
    requantization,
    require_int8,
    unpack_channels,
)
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.single_rounding import SCALE, find_single_rounding
from deploy.tflite.values import Requantization

CHANNELS_END = -(2**31)  # NB_CHANNELS_END_SINGLE


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


def in_one_rounding(r: Requantization) -> Requantization:
    """The same function in one rounding for the backend that has it, where that can be."""
    if not r.fast or r.zero_point != -128:
        return r
    bias, shifts, twice = unpack_channels(r.channels.data)
    found = find_single_rounding(bias, r.magnitude, twice % 2**32 // 2, shifts, r.maximum)
    if found is None:
        return r
    end = np.array([CHANNELS_END], np.int32)[: r.channels.data.size % 2]  # as in two roundings
    table = np.concatenate([found.table.reshape(-1), end])
    return replace(r, channels=replace(r.channels, fast=table), offset=found.offset)


def scaled_sums_fit(r: Requantization) -> bool:
    """Whether sums SCALE times as large can be rounded twice in 32 bits."""
    if not r.fast:
        return False
    _, shifts, _ = unpack_channels(r.channels.data)
    # The rounding and the zero point leave half of the range to the product's high word.
    rounding = (2 * abs(r.zero_point) + 1) << (shifts + 6)
    return bool(np.all(SCALE * r.magnitude < 2**31) and np.all(rounding + 64 <= 2**30))
