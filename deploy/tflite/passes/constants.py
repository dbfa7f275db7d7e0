# SPDX-License-Identifier: Apache-2.0
"""Channels that can have one value only get weights of 0, a bias and a scale that give it.

Training leaves such channels with scales far from all others: BN divides by a deviation of almost
nothing. One of them would push its whole layer off the kernels' fast path. Every output byte stays,
and so does every shape.
"""

from dataclasses import replace

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator, Tensor
from deploy.tflite.numerics import require_constant
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.passes.ranges import channel_ranges

_FACTOR = 4  # the accumulator is so many times the output: an exact shift by two
_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}


def settle_constants(graph: Graph) -> Graph:
    """The graph with plain weights behind every known channel of a convolution.

    Every operator's ``check`` must have passed, as after :func:`deploy.tflite.read_graph`.
    """
    ranges = channel_ranges(graph)
    tensors = list(graph.tensors)
    operators = []
    for op in graph.operators:
        axis = _AXES.get(op.kind)
        if axis is not None:
            own = ranges[op.outputs[0]]
            weights = graph.input(op, 1)
            settled = own.constant & (weights.shape[axis] == own.channels)
            by_channel = weights.quantization is not None and (
                len(weights.quantization.scales) == own.channels
            )
            if settled.any() and by_channel:
                operators.append(_settle(graph, op, axis, settled, own.low, tensors))
                continue
        operators.append(op)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _settle(
    graph: Graph,
    op: Operator,
    axis: int,
    settled: np.ndarray,
    values: np.ndarray,
    tensors: list[Tensor],
) -> Operator:
    weights, target = graph.input(op, 1), graph.output(op)
    source = graph.input(op, 0).quantization
    out = target.quantization
    assert source is not None and out is not None and weights.quantization is not None
    data = np.array(require_constant(graph, op, weights, "weights"))
    np.moveaxis(data, axis, 0)[settled] = 0
    bias = read_bias(graph, op, len(settled)).astype(np.int32)
    bias[settled] = _FACTOR * (values[settled] - out.zero_points[0])
    plain = out.scales[0] / source.scales[0] / _FACTOR
    scales = tuple(
        plain if known else scale
        for known, scale in zip(settled, weights.quantization.scales, strict=True)
    )
    quantization = replace(weights.quantization, scales=scales)
    old_bias = graph.optional_input(op, 2)
    constants = (
        replace(weights, index=len(tensors), quantization=quantization, data=data),
        replace(old_bias, index=len(tensors) + 1, data=bias)
        if old_bias is not None
        else Tensor(len(tensors) + 1, "bias", DType.INT32, bias.shape, None, bias),
    )
    tensors.extend(constants)
    return replace(op, inputs=(op.inputs[0], *(own.index for own in constants)))
