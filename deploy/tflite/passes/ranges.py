# SPDX-License-Identifier: Apache-2.0
"""Which values each channel of each activation can take, over every possible input.

Interval arithmetic in the integers of the kernels: an accumulator's bounds are the sums of its
taps' bounds, and requantization never decreases, so the bounds of an output are the outputs of the
bounds. Where an accumulator may overflow, nothing is assumed but the clamp.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deploy.tflite.fixed_point import rounding_divide_by_pot, saturating_rounding_doubling_high_mul
from deploy.tflite.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.tflite.numerics import (
    INT32_MAX,
    INT32_MIN,
    activation_range,
    convolution_multipliers,
    require_constant,
)
from deploy.tflite.ops import add as add_operator
from deploy.tflite.ops import find_operator
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.ops.window import SAME
from deploy.tflite.parameters import MeanParams


@dataclass(frozen=True)
class ChannelRange:
    """Bounds of every channel, int64 [channels]; element e of the tensor is of channel e modulo
    ``channels``, which is the last dimension but behind a RESHAPE, that keeps its input's."""

    low: np.ndarray
    high: np.ndarray

    @property
    def channels(self) -> int:
        """How many."""
        return len(self.low)

    @property
    def constant(self) -> np.ndarray:
        """Bool [channels]: where only one value is possible."""
        return np.asarray(self.low == self.high)


def everything(tensor: Tensor) -> ChannelRange:
    """What the element type allows."""
    channels = tensor.shape[-1] if tensor.shape else 1
    if tensor.dtype in (DType.INT8, DType.UINT8, DType.INT16):
        info = np.iinfo(tensor.dtype.numpy)
        low, high = int(info.min), int(info.max)
    else:
        low, high = INT32_MIN, INT32_MAX
    return ChannelRange(np.full(channels, low, np.int64), np.full(channels, high, np.int64))


def channel_ranges(graph: Graph) -> dict[int, ChannelRange]:
    """The range of every activation by its tensor's index."""
    found = {index: everything(graph.tensors[index]) for index in graph.inputs}
    for op in graph.operators:
        for index in op.outputs:
            found[index] = everything(graph.tensors[index])
        rule = _RULES.get(op.kind)
        if rule is not None and len(op.outputs) == 1:
            own = rule(graph, op, found)
            if own is not None:
                found[op.outputs[0]] = own
    return found


def is_image(tensor: Tensor, own: ChannelRange) -> bool:
    """Whether the tensor is an int8 image whose last dimension are the range's channels."""
    return tensor.dtype is DType.INT8 and len(tensor.shape) == 4 and tensor.shape[3] == own.channels


def reads_padding(graph: Graph, op: Operator) -> bool:
    """Whether a convolution's window ever reaches beyond its input."""
    a = op.attributes
    source, weights, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    if a.padding != SAME:
        return False
    return any(
        (target.shape[axis] - 1) * stride + (weights.shape[axis] - 1) * dilation + 1
        > source.shape[axis]
        for axis, stride, dilation in (
            (1, a.stride_h, a.dilation_h), (2, a.stride_w, a.dilation_w)
        )
    )  # fmt: skip


def requantized(
    low: int, high: int, multiplier: int, exponent: int, zero_point: int, clamp: tuple[int, int]
) -> tuple[int, int]:
    """Bounds of an output from those of its accumulator, bias included."""
    bounds = []
    for value in (low, high):
        shifted = value << max(exponent, 0)
        if not (INT32_MIN <= value <= INT32_MAX and INT32_MIN <= shifted <= INT32_MAX):
            return clamp
        scaled = saturating_rounding_doubling_high_mul(shifted, multiplier)
        scaled = rounding_divide_by_pot(scaled, max(-exponent, 0)) + zero_point
        if not INT32_MIN <= scaled <= INT32_MAX:
            return clamp
        bounds.append(min(max(scaled, clamp[0]), clamp[1]))
    return bounds[0], bounds[1]


def _zero_point(tensor: Tensor) -> int:
    assert tensor.quantization is not None  # the operators' checks have passed
    return tensor.quantization.zero_points[0]


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _products(
    rows: np.ndarray, source: ChannelRange, columns: np.ndarray, zero_point: int, padded: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the sums of ``rows`` [outputs, taps] times (input - zero point), where tap i reads
    channel ``columns[..., i]``."""
    low = rows * (source.low[columns] - zero_point)
    high = rows * (source.high[columns] - zero_point)
    least, most = np.minimum(low, high), np.maximum(low, high)
    if padded:  # a tap beyond the input adds nothing
        least, most = np.minimum(least, 0), np.maximum(most, 0)
    return least.sum(axis=1), most.sum(axis=1)


def _outputs(
    graph: Graph,
    op: Operator,
    sums: tuple[np.ndarray, np.ndarray],
    multipliers: list[tuple[int, int]],
) -> ChannelRange:
    target = graph.output(op)
    bias = read_bias(graph, op, len(multipliers))
    clamp = activation_range(op.attributes.activation, _quantization(target))
    bounds = [
        requantized(int(low), int(high), *multiplier, _zero_point(target), clamp)
        for low, high, multiplier in zip(
            sums[0] + bias, sums[1] + bias, multipliers, strict=True
        )
    ]  # fmt: skip
    low, high = np.array(bounds, np.int64).T
    return ChannelRange(low, high)


def _conv_2d(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    source, weights = graph.input(op, 0), graph.input(op, 1)
    channels, _, _, depth = weights.shape
    own = ranges[source.index]
    if not is_image(source, own) or depth != own.channels:
        return None
    rows = require_constant(graph, op, weights, "weights").astype(np.int64).reshape(channels, -1)
    columns = np.arange(rows.shape[1]) % depth
    sums = _products(rows, own, columns, _zero_point(source), reads_padding(graph, op))
    return _outputs(graph, op, sums, convolution_multipliers(graph, op, weights, channels, 0))


def _depthwise(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    source, weights = graph.input(op, 0), graph.input(op, 1)
    channels = weights.shape[3]
    own = ranges[source.index]
    if not is_image(source, own):
        return None
    rows = require_constant(graph, op, weights, "weights").astype(np.int64)
    rows = rows.reshape(-1, channels).T
    columns = np.arange(channels)[:, None] // (channels // own.channels)
    sums = _products(rows, own, columns, _zero_point(source), reads_padding(graph, op))
    return _outputs(graph, op, sums, convolution_multipliers(graph, op, weights, channels, 3))


def _fully_connected(
    graph: Graph, op: Operator, ranges: dict[int, ChannelRange]
) -> ChannelRange | None:
    source, weights = graph.input(op, 0), graph.input(op, 1)
    own = ranges.get(source.index)
    if own is None or source.dtype is not DType.INT8 or weights.shape[1] % own.channels:
        return None
    rows = require_constant(graph, op, weights, "weights").astype(np.int64)
    columns = np.arange(rows.shape[1]) % own.channels
    sums = _products(rows, own, columns, _zero_point(source), padded=False)
    return _outputs(graph, op, sums, convolution_multipliers(graph, op, weights, len(rows), 0))


def _add(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    first, second, target = graph.input(op, 0), graph.input(op, 1), graph.output(op)
    if not first.shape == second.shape == target.shape or target.dtype is not DType.INT8:
        return None
    sources = [ranges.get(tensor.index) for tensor in (first, second)]
    if None in sources:
        return None
    clamp = activation_range(op.attributes.activation, _quantization(target))
    own_scales = add_operator.multipliers(graph, op)
    zeros = [_zero_point(tensor) for tensor in (first, second)]

    def scale(value: int, multiplier: int, exponent: int) -> int:
        return rounding_divide_by_pot(
            saturating_rounding_doubling_high_mul(value, multiplier), -exponent
        )

    def total(a: int, b: int) -> int:
        raw = sum(
            scale((value - zero) << add_operator.LEFT_SHIFT, *own)
            for value, zero, own in zip((a, b), zeros, own_scales[:2], strict=True)
        )
        found = scale(raw, *own_scales[2]) + _zero_point(target)
        return min(max(found, clamp[0]), clamp[1])

    one, two = sources
    assert one is not None and two is not None
    if one.channels != two.channels:
        return None
    low = [total(int(a), int(b)) for a, b in zip(one.low, two.low, strict=True)]
    high = [total(int(a), int(b)) for a, b in zip(one.high, two.high, strict=True)]
    return ChannelRange(np.array(low, np.int64), np.array(high, np.int64))


def _pool(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    own = ranges[graph.input(op, 0).index]
    if not is_image(graph.input(op, 0), own):
        return None
    low, high = activation_range(op.attributes.activation, _quantization(graph.output(op)))
    return ChannelRange(np.clip(own.low, low, high), np.clip(own.high, low, high))


def _mean(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    own = ranges[graph.input(op, 0).index]
    module = find_operator(op.kind)
    assert module is not None
    layer = module.lower(graph, op)
    if not is_image(graph.input(op, 0), own) or not isinstance(layer.params, MeanParams):
        return None
    p = layer.params
    clamp = (-128, 127)
    sums = (own.low * p.pixels + p.offset, own.high * p.pixels + p.offset)
    bounds = [
        requantized(int(low), int(high), p.multiplier, -p.shift, p.zero_point, clamp)
        for low, high in zip(*sums, strict=True)
    ]
    return ChannelRange(*np.array(bounds, np.int64).T)


def _pad(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    source, target = graph.input(op, 0), graph.output(op)
    own = ranges[source.index]
    if not is_image(source, own) or source.shape[3] != target.shape[3]:
        return None
    zero = _zero_point(target)
    return ChannelRange(np.minimum(own.low, zero), np.maximum(own.high, zero))


def joins_channels(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> bool:
    """Whether a CONCATENATION joins images along their channels."""
    axes = {len(graph.output(op).shape) - 1, -1}
    return op.attributes.axis in axes and all(
        index in ranges and is_image(graph.tensors[index], ranges[index]) for index in op.inputs
    )


def _concatenation(
    graph: Graph, op: Operator, ranges: dict[int, ChannelRange]
) -> ChannelRange | None:
    if not joins_channels(graph, op, ranges):
        return None
    own = [ranges[index] for index in op.inputs]
    return ChannelRange(np.concatenate([r.low for r in own]), np.concatenate([r.high for r in own]))


def _reshape(graph: Graph, op: Operator, ranges: dict[int, ChannelRange]) -> ChannelRange | None:
    return ranges.get(graph.input(op, 0).index)


_Rule = Callable[[Graph, Operator, dict[int, ChannelRange]], ChannelRange | None]
_RULES: dict[str, _Rule] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "PAD": _pad,
    "RESHAPE": _reshape,
}
