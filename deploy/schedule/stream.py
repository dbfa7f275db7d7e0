# SPDX-License-Identifier: Apache-2.0
"""Streams: chains of layers that compute a few rows at a time, and the steps that they take."""

from dataclasses import dataclass

from deploy.schedule.flow import Flow, Place

MAX_LAYERS = 250  # positions are bytes in nb_rows_layer
MAX_SOURCES = 2  # of a layer, in nb_rows_layer
MAX_BATCH = 4
BAND = 4
PUSH = -1  # as a step's layer: a row of the input arrives


@dataclass(frozen=True)
class Segment:
    """Layers ``first`` to ``last`` - 1.

    ``batches`` are the output rows that each computes at a time; empty for a single layer that
    makes its whole map at once. ``pushed``: the input is not there but arrives row by row. ``band``
    are the output rows for which a depthwise convolution that makes its whole map keeps input rows.
    """

    first: int
    last: int
    batches: tuple[int, ...] = ()
    pushed: bool = False
    band: int = BAND

    def rows_at_a_time(self, layer: int) -> int:
        """Output rows that a layer has input rows for: its batch, or its band."""
        return self.batches[layer - self.first] if self.batches else self.band


@dataclass(frozen=True)
class Step:
    """Layer ``layer`` computes its output rows ``first`` to ``last`` - 1."""

    layer: int
    first: int
    last: int


@dataclass(frozen=True)
class StreamLayer:
    """How nb_rows_run sees a layer; see nb_rows.h. ``sources`` are 0 for the stream's input."""

    layer: int
    height: int
    input_height: int
    reach: int
    stride: int
    batch: int
    sources: tuple[int, int]
    restart: int


def can_stream(flow: Flow, first: int, last: int) -> bool:
    """Whether the layers can form a stream."""
    return last - first <= MAX_LAYERS and all(
        flow.layers[number].rows is not None
        and not flow.is_apart(number)
        and len(_sources(flow, number, first)) <= MAX_SOURCES
        for number in range(first, last)
    )


def _in_step(flow: Flow, place: Place) -> bool:
    """Whether the layers that write a place by pieces can wait for one another.

    The second and later ones then make a row only when the layer before has made it: none gets
    ahead with rows for which nothing else is there, and who reads waits for the last alone. That
    needs as many input rows as output rows: one count of rows is all that a layer waits for.
    """
    return len(place.writers) > 1 and all(
        (window := flow.layers[writer].rows) is not None
        and window.stride == 1
        and flow.places[flow.inputs(writer)[0]].height == place.height
        for writer in place.writers[1:]
    )


def _sources(flow: Flow, number: int, first: int) -> list[int]:
    """What a layer of a stream from ``first`` on waits for, as places in nb_stream's ``done``."""
    found = []
    for index in flow.inputs(number):
        place = flow.places[index]
        writers = place.writers[-1:] if _in_step(flow, place) else place.writers
        found += [writer - first + 1 for writer in writers if writer >= first] or [0]
    own = flow.places[flow.output(number)]
    before = [writer for writer in own.writers if first <= writer < number]
    if before and _in_step(flow, own):
        found.append(before[-1] - first + 1)
    return list(dict.fromkeys(found))


def stream_layers(flow: Flow, segment: Segment) -> list[StreamLayer]:
    """The description of a stream."""
    found = []
    for number in range(segment.first, segment.last):
        window = flow.layers[number].rows
        assert window is not None  # can_stream
        sources = _sources(flow, number, segment.first)
        output = flow.places[flow.output(number)]
        waiting = [*output.writers, *(reader for reader, _ in output.readers)]
        found.append(
            StreamLayer(
                number, output.height, flow.places[flow.inputs(number)[0]].height,
                window.extent - window.before, window.stride,
                segment.batches[number - segment.first],
                (sources[0], sources[-1]),
                max(n for n in waiting if n < segment.last) - segment.first + 1,
            )
        )  # fmt: skip
    return found


def restart_of_input(layers: list[StreamLayer]) -> int:
    """1 + the last of a stream's layers that reads its input: see nb_stream."""
    return max(number for number, layer in enumerate(layers, 1) if 0 in layer.sources)


def stream_steps(flow: Flow, segment: Segment) -> list[Step]:
    """The steps of a segment in the order in which nb_rows_run takes them.

    A segment without batches is one step.
    """
    if not segment.batches:
        return [Step(segment.first, 0, flow.height(segment.first))]
    layers = stream_layers(flow, segment)
    done = [0] * (len(layers) + 1)
    steps: list[Step] = []
    if not segment.pushed:
        done[0] = 65535
        _run(layers, done, steps)
        return steps
    for row in range(flow.places[flow.inputs(segment.first)[0]].height):
        steps.append(Step(PUSH, row, row + 1))
        done[0] += 1
        _run(layers, done, steps)
    return steps


def _run(layers: list[StreamLayer], done: list[int], steps: list[Step]) -> None:
    """nb_rows_run, line by line."""
    i = restart_of_input(layers)
    while i != 0:
        layer = layers[i - 1]
        first = done[i]
        last = min(first + layer.batch, layer.height)
        needed = min((last - 1) * layer.stride + layer.reach, layer.input_height)
        if first == last or any(done[source] < needed for source in layer.sources):
            i -= 1
            continue
        steps.append(Step(layer.layer, first, last))
        done[i] = last
        i = layer.restart
