# SPDX-License-Identifier: Apache-2.0
"""Which bytes of which buffer are needed when, step by step.

The arena is shared at the grain of rows: a map that is written from its start while another is read
to its end may lie over the part of it that is not needed any more.
"""

from dataclasses import dataclass

import numpy as np

from deploy.backends import most_scratch
from deploy.schedule.flow import Flow
from deploy.schedule.stream import PUSH, Segment, Step, stream_steps
from deploy.tflite import Layer
from deploy.tflite.parameters import DepthwiseConvParams
from deploy.tflite.values import Ring

ALIGNMENT = 4
FOREVER = 1 << 30


@dataclass
class Buffer:
    """One piece of the arena.

    Attributes:
        bytes: its size.
        places: the tensors' places in it; empty for scratch.
        layer: the layer whose scratch it is, or None.
        start: the first step at which it is needed.
        low, high: for each step from then on, the bytes that are needed during it: from ``low``
            up to ``high``; nothing where they are equal.
        low_after: the same as ``low`` for what an in-place output of the step may not touch.
        takers: the places that are such outputs.
    """

    bytes: int
    places: tuple[int, ...]
    layer: int | None
    start: int
    low: np.ndarray
    high: np.ndarray
    low_after: np.ndarray
    takers: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        """One behind the last step."""
        return self.start + len(self.low)


@dataclass(frozen=True)
class Timeline:
    """The steps of a whole schedule, or of one segment.

    ``rings`` says for each place how many rows of it exist; all of them where it is left out.
    """

    steps: list[Step]
    buffers: list[Buffer]
    rings: dict[int, Ring]


def scratch_bytes(layer: Layer, batch: int) -> int:
    """Scratch of a layer that has input rows for ``batch`` output rows."""
    rows = plane_rows(layer, batch)
    if rows is None or not isinstance(layer.params, DepthwiseConvParams):
        return layer.scratch_bytes
    stride = layer.params.row_stride
    return most_scratch(lambda backend: backend.depthwise_scratch(rows, stride))


def plane_rows(layer: Layer, batch: int) -> int | None:
    """Rows in the planes of a depthwise convolution; None for other kernels."""
    if not isinstance(layer.params, DepthwiseConvParams) or layer.rows is None:
        return None
    return (min(batch, layer.params.out_h) - 1) * layer.rows.stride + layer.rows.extent


def ring_in_place(flow: Flow, segment: Segment, layer: int) -> bool:
    """Whether a layer of a stream writes its rows over those of its input that it needs no more.

    Kernels that work in place channel by channel can, where rows are as wide as the input's and
    nothing else reads the input.
    """
    found = flow.layers[layer]
    if not found.in_place_exactly or not found.in_place or found.rows is None:
        return False
    if not segment.first <= layer < segment.last or flow.is_joined(layer):
        return False
    source, target = flow.places[flow.inputs(layer)[0]], flow.places[flow.output(layer)]
    return (
        found.rows.stride == 1
        and source.row_bytes == target.row_bytes
        and len(source.readers) == 1
        and source.producer is not None
        and not ring_in_place(flow, segment, source.producer)
        and is_ring(flow, segment, flow.inputs(layer)[0])
        and is_ring(flow, segment, flow.output(layer))
    )


def is_ring(flow: Flow, segment: Segment, index: int) -> bool:
    """Whether only rows of a place exist: made (or pushed) and read inside of the stream."""
    place = flow.places[index]
    if not segment.batches or place.is_output or place.views or not place.readers:
        return False
    if any(reader >= segment.last for reader, _ in place.readers):
        return False
    if place.producer is None:
        return segment.pushed
    return all(segment.first <= writer < segment.last for writer in place.writers)


class Builder:
    """Steps through a schedule and notes what is needed when."""

    def __init__(self, flow: Flow, segments: list[Segment]) -> None:
        self.flow = flow
        self.segments = segments
        self.steps: list[Step] = []
        self.spans: list[tuple[int, int]] = []
        for segment in segments:
            begin = len(self.steps)
            self.steps += stream_steps(flow, segment)
            self.spans.append((begin, len(self.steps)))
        self.calls: dict[int, list[tuple[int, Step]]] = {}
        for time, step in enumerate(self.steps):
            self.calls.setdefault(step.layer, []).append((time, step))
        self.segment_of = {
            layer: segment for segment in segments for layer in range(segment.first, segment.last)
        }

    def timeline(self) -> Timeline:
        """Buffers for every place that is used, scratch and the streams' state."""
        rings: dict[int, Ring] = {}
        buffers: list[Buffer] = []
        joined: dict[int, int] = {}
        touched = {i for layer in self.segment_of for i in (*self.flow.inputs(layer),
                                                            self.flow.output(layer))}  # fmt: skip
        if len(self.segment_of) == len(self.flow.layers):
            # A whole schedule: the caller writes every input, even one that no layer reads.
            touched |= {self.flow.place_of[index] for index in self.flow.graph.inputs}
        used = sorted(touched)
        for index in used:
            producer = self.flow.places[index].producer
            if producer is not None and self._joins(producer):
                source = self.flow.inputs(producer)[0]
                joined[index] = joined.get(source, source)
        groups: dict[int, list[int]] = {}
        for index in used:
            groups.setdefault(joined.get(index, index), []).append(index)
        for members in groups.values():
            buffers.append(self._buffer(members, rings))
        buffers += self._scratch()
        buffers += self._states()
        return Timeline(self.steps, buffers, rings)

    def _joins(self, layer: int) -> bool:
        """Whether a layer's output shares its input's buffer by force."""
        segment = self.segment_of.get(layer)
        found = self.flow.layers[layer]
        if segment is None or not found.in_place_exactly or not found.in_place:
            return False
        if segment.batches:
            return ring_in_place(self.flow, segment, layer)
        if self.flow.is_joined(layer):
            return False
        place = self.flow.places[self.flow.inputs(layer)[0]]
        return not place.is_output and all(reader <= layer for reader, _ in place.readers)

    def _buffer(self, members: list[int], rings: dict[int, Ring]) -> Buffer:
        lows, highs, afters = zip(*(self._linear(index) for index in members), strict=True)
        size = max(self.flow.places[index].bytes for index in members)
        first = self.flow.places[members[0]]
        reader = first.readers[0][0] if first.readers else -1
        segment = self.segment_of.get(first.producer if first.producer is not None else reader)
        if segment is not None and is_ring(self.flow, segment, members[0]):
            size = self._ring(members, segment, rings) * first.row_bytes
            occupied = np.any([h > lo for lo, h in zip(lows, highs, strict=True)], axis=0)
            low, high = np.zeros(len(self.steps), np.int64), np.where(occupied, size, 0)
            after = low
        else:
            low = np.min([np.where(h > lo, lo, FOREVER) for lo, h in
                          zip(lows, highs, strict=True)], axis=0)  # fmt: skip
            high = np.max([np.where(h > lo, h, 0) for lo, h in
                           zip(lows, highs, strict=True)], axis=0)  # fmt: skip
            after = afters[0] if len(members) == 1 else np.maximum(low, afters[-1])
            low = np.where(high > 0, low, 0)
        buffer = _cut(size, tuple(members), None, low, high, after)
        buffer.takers = frozenset(
            self.flow.output(reader)
            for index in members
            for reader, position in self.flow.places[index].readers
            if position in self.flow.layers[reader].in_place and not self.flow.is_joined(reader)
        )
        return buffer

    def _linear(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per step, the byte range of a place that is needed, as if the whole map existed."""
        place = self.flow.places[index]
        count = len(self.steps)
        if place.apart:
            return self._apart(index)
        high = np.zeros(count, np.int64)
        if not place.writers:
            pushed = [(t, s) for t, s in self.calls.get(PUSH, ())]
            if pushed:
                for time, step in pushed:
                    high[time:] = step.last * place.row_bytes
            else:
                high[:] = place.bytes
        for writer in place.writers:
            if writer in self.segment_of:
                for time, step in self.calls[writer]:
                    high[time:] = np.maximum(high[time:], step.last * place.row_bytes)
            elif writer < min(self.segment_of):
                high[:] = place.bytes  # made before this part of the schedule
        low = np.full(count, place.bytes, np.int64)
        after = np.full(count, place.bytes, np.int64)
        for reader, position in place.readers:
            if reader not in self.segment_of:
                low[:] = after[:] = 0  # read after this part of the schedule
                continue
            layer = self.flow.layers[reader]
            in_place = (
                position in layer.in_place
                and not layer.in_place_exactly
                and not self.flow.is_joined(reader)
            )
            needed = np.full(count, place.bytes, np.int64)
            beyond = np.full(count, place.bytes, np.int64)
            for number, (time, step) in enumerate(reversed(self.calls[reader])):
                start = 0
                if layer.rows is not None and self.segment_of[reader].batches:
                    start = max(0, step.first * layer.rows.stride - layer.rows.before)
                start = min(start * place.row_bytes, place.bytes)
                beyond[: time + 1] = start
                if in_place:
                    # The output may follow the reading, but not get ahead of it.
                    target = self.flow.places[self.flow.output(reader)]
                    written = (step.last - step.first) * target.row_bytes
                    rest = needed[time + 1] if number and time + 1 < count else place.bytes
                    beyond[time] = min(rest, start + written)
                needed[: time + 1] = start
            low, after = np.minimum(low, needed), np.minimum(after, beyond)
        if place.is_output:
            low[:] = after[:] = 0
        elif not place.readers and place.producer is None:
            low[0] = after[0] = 0
        # What is written is there while it is written, even if nothing reads it.
        for writer in place.writers or [PUSH]:
            for time, step in self.calls.get(writer, ()):
                low[time] = min(low[time], step.first * place.row_bytes)
        return low, np.where(high > low, high, low), after

    def _apart(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same for a place whose pieces lie apart: all of it, from the first layer that writes
        any of it to the last that reads any."""
        place, count = self.flow.places[index], len(self.steps)
        writers = place.writers
        users = [*writers, *(reader for reader, _ in place.readers)]
        times = [time for user in users for time, _ in self.calls.get(user, ())]
        begin = 0 if min(writers) < min(self.segment_of) else min(times)
        later = max(self.segment_of)
        end = count if place.is_output or max(users) > later else max(times) + 1
        high = np.zeros(count, np.int64)
        high[begin:end] = place.bytes
        low = np.where(high > 0, 0, place.bytes)
        return low, np.where(high > low, high, low), low

    def _ring(self, members: list[int], segment: Segment, rings: dict[int, Ring]) -> int:
        """Rows that a ring needs; fills in ``rings`` for the places in it."""
        place = self.flow.places[members[0]]
        before = 0
        if len(members) == 2:
            window = self.flow.layers[place.readers[0][0]].rows
            assert window is not None
            before = window.before
        first, last = self.spans[self.segments.index(segment)]
        produced, most = 0, 1
        # Where two maps share a ring, row y of the second lies where row y - before of the first
        # does, and counts as that one.
        behind = {reader: before for index in members[1:]
                  for reader, _ in self.flow.places[index].readers}  # fmt: skip
        next_row = {reader: -before for reader in (*(r for r, _ in place.readers), *behind)}
        writers = place.writers or [PUSH]
        for step in self.steps[first:last]:
            if step.layer in writers:
                produced = max(produced, step.last)
                most = max(most, step.last - step.first)
            oldest = min((row for row in next_row.values() if row < FOREVER), default=produced)
            most = max(most, produced - oldest)
            if step.layer in next_row:
                window = self.flow.layers[step.layer].rows
                assert window is not None
                row = step.last * window.stride - window.before
                if len(members) == 1 or step.layer in behind:
                    row = max(row, 0) - behind.get(step.layer, 0)
                done = step.last == self.flow.height(step.layer)
                next_row[step.layer] = FOREVER if done else row
                if len(members) == 2 and step.layer not in behind:
                    most = max(most, produced - (step.first - before))
        rings[members[0]] = Ring(most)
        if len(members) == 2:
            rings[members[1]] = Ring(most, (most - before) % most)
        return most

    def _scratch(self) -> list[Buffer]:
        found = []
        for layer, calls in self.calls.items():
            if layer == PUSH:
                continue
            batch = self.segment_of[layer].rows_at_a_time(layer)
            size = _align(scratch_bytes(self.flow.layers[layer], batch))
            if size:
                high = np.zeros(len(self.steps), np.int64)
                high[[time for time, _ in calls]] = size
                low = np.zeros(len(self.steps), np.int64)
                found.append(_cut(size, (), layer, low, high, low))
        return found

    def _states(self) -> list[Buffer]:
        """How far each layer of a stream has come: 16 bits a layer and one for the input."""
        found = []
        for segment, (begin, end) in zip(self.segments, self.spans, strict=True):
            if segment.batches:
                size = _align(2 * (segment.last - segment.first + 1))
                high = np.zeros(len(self.steps), np.int64)
                high[begin:end] = size
                low = np.zeros(len(self.steps), np.int64)
                found.append(_cut(size, (), -1 - segment.first, low, high, low))
        return found


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _cut(
    size: int, places: tuple[int, ...], layer: int | None, low: np.ndarray, high: np.ndarray,
    after: np.ndarray,
) -> Buffer:  # fmt: skip
    used = np.flatnonzero(high > low)
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    return Buffer(
        _align(size), places, layer, first, low[first:last], high[first:last], after[first:last]
    )
