# SPDX-License-Identifier: Apache-2.0
"""Cross-layer equalization: channels of one activation brought to similar ranges, exactly.

One scale serves all channels of an activation, so a channel that is small beside the others keeps
few codes. Dividing channel c by s_c where it is written and multiplying the weights that read it by
s_c changes no output (Nagel et al., "Data-Free Quantization", 2019; the factor balances activation
and weight ranges as SmoothQuant's does). This is exact only while nothing between bends: a linear
or ReLU output, sums, pooling, padding. ReLU6 clips at a fixed 6 and ends it, so in inverted
residuals it is the linear bottlenecks, with the whole chain of their shortcuts, that are equalized.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deploy.quantize.graph import FloatGraph, FloatOp
from deploy.quantize.ops.activation import Clip
from deploy.quantize.ops.conv import Conv
from deploy.quantize.ops.elementwise import Add
from deploy.quantize.ops.fully_connected import FullyConnected
from deploy.quantize.ops.mean import Mean
from deploy.quantize.ops.pad import Pad
from deploy.quantize.ops.pool import Pool
from deploy.quantize.tensors import Activation, FloatTensor

_HOMOGENEOUS = (Activation.NONE, Activation.RELU)
_LARGEST = 16.0  # how far a factor may lie from the others' geometric mean


def equalize(graph: FloatGraph, maxima: Mapping[FloatTensor, np.ndarray]) -> list[str]:
    """Rescale the channels of ``graph`` in place; its outputs stay the same in real numbers.

    Args:
        maxima: largest absolute value of each channel over the calibration images.

    Returns:
        Names of the tensors whose channels were rescaled.
    """
    changed = []
    for group in _groups(graph):
        factors = _factors(graph, group, maxima)
        if factors is None:
            continue
        _apply(graph, group, factors)
        changed += [tensor.name for tensor in graph.tensors() if tensor in group]
    return changed


def _transparent(op: FloatOp) -> bool:
    """Whether scaling a channel of all inputs scales the output's channel alike."""
    if isinstance(op, Add | Clip):
        return op.activation in _HOMOGENEOUS
    return isinstance(op, Mean | Pad | Pool)


def _groups(graph: FloatGraph) -> list[set[FloatTensor]]:
    """Sets of activations that must share their factors, as far as they may be scaled at all."""
    pairs = []
    fixed = {graph.input, *graph.outputs}
    for op in graph.ops:
        if _transparent(op):
            pairs += [(op.output, tensor) for tensor in op.inputs]
        elif isinstance(op, Conv | FullyConnected):
            if op.activation not in _HOMOGENEOUS:
                fixed.add(op.output)
        else:
            fixed.update((*op.inputs, op.output))
    return [set(group) for group in graph.tied(pairs) if not fixed.intersection(group)]


def _factors(
    graph: FloatGraph, group: set[FloatTensor], maxima: Mapping[FloatTensor, np.ndarray]
) -> np.ndarray | None:
    ranges = np.max([maxima[tensor] for tensor in group], axis=0)
    weights = np.zeros_like(ranges)
    for op in graph.ops:
        if isinstance(op, Conv | FullyConnected) and op.inputs[0] in group:
            columns = _by_input(op, op.weight)
            # Relative to its row's largest weight, which sets the scale of the output channel.
            largest = np.maximum(_by_input(op, _row_maxima(op)), 1e-30)
            weights = np.maximum(weights, (columns / largest).max(axis=(0, 2)))
    used = (ranges > 0) & (weights > 0)
    if used.sum() < 2:
        return None
    factors = np.ones_like(ranges)
    raw = np.sqrt(ranges[used] / weights[used])
    raw /= np.exp(np.log(raw).mean())
    factors[used] = np.clip(raw, 1 / _LARGEST, _LARGEST)
    return factors


def _row_maxima(op: Conv | FullyConnected) -> np.ndarray:
    """The largest weight of each output, in the weight's shape."""
    rows = np.abs(op.weight).reshape(len(op.weight), -1).max(axis=1)
    return np.broadcast_to(rows.reshape(-1, *([1] * (op.weight.ndim - 1))), op.weight.shape)


def _by_input(op: Conv | FullyConnected, weight: np.ndarray) -> np.ndarray:
    """Absolute weights as [outputs of a group, input channels, taps]."""
    channels = op.inputs[0].shape[-1]
    if isinstance(op, FullyConnected):
        return np.abs(weight).reshape(len(weight), channels, -1)
    outputs, depth = weight.shape[:2]
    grouped = np.abs(weight).reshape(op.groups, outputs // op.groups, depth, -1)
    return grouped.transpose(1, 0, 2, 3).reshape(outputs // op.groups, channels, -1)


def _apply(graph: FloatGraph, group: set[FloatTensor], factors: np.ndarray) -> None:
    for op in graph.ops:
        if not isinstance(op, Conv | FullyConnected):
            continue
        if op.inputs[0] in group:
            op.weight = _scale_inputs(op, factors)
        if op.output in group:
            op.scale_output(1 / factors, np.zeros_like(factors))


def _scale_inputs(op: Conv | FullyConnected, factors: np.ndarray) -> np.ndarray:
    shape = op.weight.shape
    if isinstance(op, FullyConnected):  # torch flattens channels first
        return (op.weight.reshape(shape[0], len(factors), -1) * factors[:, None]).reshape(shape)
    grouped = op.weight.reshape(op.groups, shape[0] // op.groups, *shape[1:])
    return (grouped * factors.reshape(op.groups, 1, shape[1], 1, 1)).reshape(shape)
