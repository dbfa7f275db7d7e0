# SPDX-License-Identifier: Apache-2.0
"""Removes channels whose value is known and inputs that nothing reads; every output byte stays.

A channel can go where nobody needs it to be there:

- a convolution or a FULLY_CONNECTED reads it with weights that are all 0, or it can have one value
  only, over every possible input, and what it adds goes into the bias. Where the window reaches
  into the padding that holds only for the value that padding has, the zero point;
- operators that work channel by channel (depthwise convolution, ADD, pooling, PAD, MEAN, RESHAPE)
  lose it in all their inputs and outputs, or in none; a CONCATENATION in the input that it comes
  from and in the output.

Channels of the model's inputs and outputs, and of operators that this file does not know, stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator, Tensor
from deploy.tflite.numerics import INT32_MAX, require_constant
from deploy.tflite.ops.bias import read_bias
from deploy.tflite.passes.ranges import (
    ChannelRange,
    channel_ranges,
    is_image,
    joins_channels,
    reads_padding,
)

_BY_CHANNEL = ("ADD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD", "RESHAPE")


@dataclass(frozen=True)
class Removal:
    """A graph and what was taken out of it.

    Attributes:
        graph: equal to the original in every output byte.
        channels: how many channels of activations are gone.
        operators: how many operators, whose outputs nobody read.
    """

    graph: Graph
    channels: int
    operators: int


def remove_dead(graph: Graph) -> Removal:
    """Take out channels and operators until nothing more can go.

    Every operator's ``check`` must have passed, as after :func:`deploy.tflite.read_graph`.
    """
    channels = operators = 0
    while True:
        before = len(graph.operators)
        graph = _drop_unread_operators(graph)
        operators += before - len(graph.operators)
        gone = _Round(graph).removable()
        if not gone:
            return Removal(graph, channels, operators)
        channels += sum(int(own.sum()) for own in gone.values())
        graph = _rewrite(graph, {index: np.flatnonzero(~own) for index, own in gone.items()})


def _drop_unread_operators(graph: Graph) -> Graph:
    needed = set(graph.outputs)
    kept = []
    for op in reversed(graph.operators):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            kept.append(op)
    return replace(graph, operators=tuple(reversed(kept)))


class _Round:
    """Classes of channels that go or stay together, over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ranges = channel_ranges(graph)
        self.base: dict[int, int] = {}
        count = 0
        for index, own in self.ranges.items():
            self.base[index] = count
            count += own.channels
        self.parent = list(range(count))
        self.stays = np.zeros(count, bool)

    def removable(self) -> dict[int, np.ndarray]:
        """By tensor: bool [channels], where it can go; tensors that lose nothing left out."""
        for index in (*self.graph.inputs, *self.graph.outputs):
            self._keep(index)
        for op in self.graph.operators:
            self._visit(op)
        classes = np.array([self._root(node) for node in range(len(self.parent))], np.int64)
        stays = np.zeros(len(self.parent), bool)
        stays[classes[self.stays]] = True
        # A tensor keeps a channel, so that every shape stays one that the kernels know.
        while True:
            empty = [
                self.base[index]
                for index, own in self.ranges.items()
                if not stays[classes[self._nodes(index, own)]].any()
            ]
            if not empty:
                break
            stays[classes[empty[0]]] = True
        found = {}
        for index, own in self.ranges.items():
            gone = ~stays[classes[self._nodes(index, own)]]
            if gone.any():
                found[index] = gone
        return found

    def _nodes(self, index: int, own: ChannelRange) -> np.ndarray:
        return np.arange(self.base[index], self.base[index] + own.channels)

    def _root(self, node: int) -> int:
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def _join(self, first: int, second: int) -> None:
        self.parent[self._root(first)] = self._root(second)

    def _keep(self, index: int, which: np.ndarray | None = None) -> None:
        nodes = self._nodes(index, self.ranges[index])
        self.stays[nodes if which is None else nodes[which]] = True

    def _keep_all(self, op: Operator) -> None:
        for index in (*op.inputs, *op.outputs):
            if index in self.ranges:
                self._keep(index)

    def _visit(self, op: Operator) -> None:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            needed = self._needed(op)
            if needed is None:
                self._keep_all(op)
            else:
                self._keep(op.inputs[0], needed)
        elif op.kind == "DEPTHWISE_CONV_2D":
            self._link(op, self.ranges[op.inputs[0]].channels)
        elif op.kind == "CONCATENATION" and joins_channels(self.graph, op, self.ranges):
            target = self.base[op.outputs[0]]
            for index in op.inputs:
                for node in self._nodes(index, self.ranges[index]):
                    self._join(int(node), target)
                    target += 1
        elif op.kind in _BY_CHANNEL:
            self._link_equal(op)
        else:
            self._keep_all(op)

    def _needed(self, op: Operator) -> np.ndarray | None:
        """Which input channels a convolution must read; None: it cannot lose any."""
        source, weights = self.graph.input(op, 0), self.graph.input(op, 1)
        own = self.ranges.get(source.index)
        if own is None or source.dtype is not DType.INT8:
            return None
        if op.kind == "CONV_2D" and not (
            is_image(source, own) and weights.shape[3] == own.channels
        ):
            return None  # grouped
        if weights.shape[-1] % own.channels or self.ranges[op.outputs[0]].channels != len(
            require_constant(self.graph, op, weights, "weights")
        ):
            return None
        read = _by_channel(self.graph, op, own.channels).any(axis=(0, 1))
        known = own.constant
        assert source.quantization is not None
        free = own.low == source.quantization.zero_points[0]
        if op.kind == "CONV_2D" and reads_padding(self.graph, op):
            known &= free
        if not _bias_fits(self.graph, op, own, known):
            known &= free
        return read & ~known

    def _link(self, op: Operator, channels: int) -> None:
        source, target = op.inputs[0], op.outputs[0]
        own = self.ranges[source]
        outputs = self.ranges[target].channels
        if not is_image(self.graph.tensors[source], own) or outputs % channels:
            self._keep_all(op)
            return
        for channel in range(outputs):
            self._join(
                self.base[source] + channel // (outputs // channels), self.base[target] + channel
            )

    def _link_equal(self, op: Operator) -> None:
        target = op.outputs[0]
        inputs = [index for index in op.inputs if index in self.ranges]
        counts = {self.ranges[index].channels for index in (*inputs, target)}
        tensors = [self.graph.tensors[index] for index in (*inputs, target)]
        whole = all(
            tensor.dtype is DType.INT8 and tensor.shape and not tensor.shape[-1] % max(counts)
            for tensor in tensors
        )
        others = [i for i in op.inputs if i not in self.ranges and i >= 0]
        if op.kind == "ADD" and (others or len({tensor.shape for tensor in tensors}) > 1):
            whole = False  # broadcasting, or a constant operand
        if op.kind == "MEAN" and not _is_spatial_mean(self.graph, op):
            whole = False
        if op.kind not in ("ADD", "RESHAPE") and not all(
            tensor.shape[-1] == self.ranges[target].channels for tensor in tensors
        ):
            whole = False
        if len(counts) != 1 or not whole:
            self._keep_all(op)
            return
        for index in inputs:
            for channel in range(max(counts)):
                self._join(self.base[index] + channel, self.base[target] + channel)


def _is_spatial_mean(graph: Graph, op: Operator) -> bool:
    source = graph.input(op, 0)
    axes = require_constant(graph, op, graph.input(op, 1), "axes").reshape(-1)
    return len(source.shape) == 4 and {int(axis) % 4 for axis in axes} == {1, 2}


def _by_channel(graph: Graph, op: Operator, channels: int) -> np.ndarray:
    """Weights as int64 [outputs, taps, channels]."""
    weights = require_constant(graph, op, graph.input(op, 1), "weights").astype(np.int64)
    return weights.reshape(len(weights), -1, channels)


def _bias_fits(graph: Graph, op: Operator, own: ChannelRange, known: np.ndarray) -> bool:
    """Whether the bias stays an int32 whichever of the channels in ``known`` are folded in."""
    source = graph.input(op, 0)
    assert source.quantization is not None
    values = np.where(known, np.abs(own.low - source.quantization.zero_points[0]), 0)
    weights = np.abs(_by_channel(graph, op, own.channels))
    most = np.abs(read_bias(graph, op, len(weights))) + weights.sum(axis=1) @ values
    return bool(most.max() <= INT32_MAX)


def _folded(graph: Graph, op: Operator, own: ChannelRange, known: np.ndarray) -> np.ndarray:
    """The bias with what the channels in ``known`` add to it, int64 [outputs]."""
    source = graph.input(op, 0)
    assert source.quantization is not None
    values = np.where(known, own.low - source.quantization.zero_points[0], 0)
    weights = _by_channel(graph, op, own.channels)
    return read_bias(graph, op, len(weights)) + weights.sum(axis=1) @ values


class _Writer:
    """The tensors of the new graph; constants are added behind those of the old one."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = list(graph.tensors)

    def shrink(self, index: int, channels: int, kept: int) -> None:
        """An activation that keeps ``kept`` of its ``channels``."""
        tensor = self.tensors[index]
        last = tensor.shape[-1] // channels * kept
        self.tensors[index] = replace(tensor, shape=(*tensor.shape[:-1], last))

    def constant(self, like: Tensor | None, data: np.ndarray, take: np.ndarray | None,
                 axis: int) -> int:  # fmt: skip
        """A constant with new data; of scales by channel of ``axis`` those in ``take`` stay."""
        index = len(self.tensors)
        if like is None:
            self.tensors.append(Tensor(index, "bias", DType.INT32, data.shape, None, data))
            return index
        quantization = like.quantization
        if quantization is not None and take is not None and len(quantization.scales) > 1:
            assert quantization.axis == axis
            quantization = replace(
                quantization,
                scales=tuple(quantization.scales[i] for i in take),
                zero_points=tuple(quantization.zero_points[i] for i in take),
            )
        self.tensors.append(
            replace(like, index=index, shape=data.shape, quantization=quantization, data=data)
        )
        return index


def _rewrite(graph: Graph, kept: dict[int, np.ndarray]) -> Graph:
    """The graph with the channels in ``kept`` alone, for the tensors that are named there."""
    ranges = channel_ranges(graph)
    writer = _Writer(graph)
    for index, own in kept.items():
        writer.shrink(index, ranges[index].channels, len(own))
    operators = []
    for op in graph.operators:
        rewritten = op
        if kept.keys() & {*op.inputs, *op.outputs}:
            if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
                rewritten = _rewrite_product(graph, op, ranges, kept, writer)
            elif op.kind == "DEPTHWISE_CONV_2D":
                rewritten = _rewrite_depthwise(graph, op, kept, writer)
        operators.append(rewritten)
    return replace(graph, tensors=tuple(writer.tensors), operators=tuple(operators))


def _everything(channels: int) -> np.ndarray:
    return np.arange(channels)


def _with_constants(op: Operator, constants: Iterable[int]) -> Operator:
    return replace(op, inputs=(op.inputs[0], *constants))


def _rewrite_product(
    graph: Graph,
    op: Operator,
    ranges: dict[int, ChannelRange],
    kept: dict[int, np.ndarray],
    writer: _Writer,
) -> Operator:
    own = ranges[op.inputs[0]]
    weights = graph.input(op, 1)
    inputs = kept.get(op.inputs[0], _everything(own.channels))
    outputs = kept.get(op.outputs[0], _everything(weights.shape[0]))
    gone = np.ones(own.channels, bool)
    gone[inputs] = False
    # What has gone is constant, or is read with weights of 0: then its value does not matter.
    bias = _folded(graph, op, own, gone)[outputs].astype(np.int32)
    data = _by_channel(graph, op, own.channels)[outputs][:, :, inputs].astype(np.int8)
    last = weights.shape[-1] // own.channels * len(inputs)
    data = np.ascontiguousarray(data).reshape(len(outputs), *weights.shape[1:-1], last)
    old_bias = graph.optional_input(op, 2)
    constants = [writer.constant(weights, data, outputs, 0)]
    if old_bias is not None or bias.any():
        constants.append(writer.constant(old_bias, bias, outputs, 0))
    return _with_constants(op, constants)


def _rewrite_depthwise(
    graph: Graph, op: Operator, kept: dict[int, np.ndarray], writer: _Writer
) -> Operator:
    weights = graph.input(op, 1)
    outputs = kept[op.outputs[0]]
    data = require_constant(graph, op, weights, "weights")[..., outputs]
    constants = [writer.constant(weights, np.ascontiguousarray(data), outputs, 3)]
    old_bias = graph.optional_input(op, 2)
    if old_bias is not None:
        bias = require_constant(graph, op, old_bias, "bias")[outputs]
        constants.append(writer.constant(old_bias, bias, outputs, 0))
    return _with_constants(op, constants)
