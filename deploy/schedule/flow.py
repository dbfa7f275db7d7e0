# SPDX-License-Identifier: Apache-2.0
"""What the scheduler asks a graph: who makes a tensor, who reads it, in which rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.tflite import Graph, Layer, Tensor


@dataclass
class Place:
    """Memory that holds one tensor, or several that are the same bytes (RESHAPE).

    Attributes:
        tensors: their indices, the first one made first.
        bytes, height: of the first; a row has bytes // height bytes.
        writers: the layers that write it, in order; none for a graph input.
        readers: (layer, position in its inputs) that read it.
        is_output: whether it must stay to the end.
        views: whether a reader sees it under another shape.
        parts: where several layers write it, each its own piece (CONCATENATION): the tensors that
            they make.
        apart: whether such pieces have rows of their own, not a share of each of its rows: then it
            is needed as a whole, ``height`` is 1, and it is no part of a stream.
    """

    tensors: list[int]
    bytes: int
    height: int
    writers: list[int]
    readers: list[tuple[int, int]] = field(default_factory=list)
    is_output: bool = False
    views: bool = False
    parts: list[int] = field(default_factory=list)
    apart: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.bytes // self.height

    @property
    def producer(self) -> int | None:
        """The first layer that writes it, None for a graph input."""
        return self.writers[0] if self.writers else None


@dataclass(frozen=True)
class Piece:
    """Where a tensor lies in a place that several layers write, and which of them writes it: runs
    of ``run`` bytes, ``pitch`` bytes apart, from ``begin`` on."""

    writer: int
    begin: int
    run: int
    pitch: int


@dataclass(frozen=True)
class Join:
    """One CONCATENATION of which pieces are written in place.

    Attributes:
        placed: positions of the inputs that are written in place.
        pieces: for each of them, where it begins, bytes of a run and from one run to the next.
        copy: a layer that copies the other inputs; None where there is none.
        apart: whether the pieces' rows are not those of the output.
    """

    placed: tuple[int, ...]
    pieces: tuple[tuple[int, int, int], ...]
    copy: Layer | None
    apart: bool


class Flow:
    """The layers that run, in order, and the memory that they share.

    Attributes:
        layers: aliases left out, and a CONCATENATION copies only what nobody writes in place; a
            layer's index here is its number everywhere.
        places: all memory for activations.
        place_of: tensor index to its place's index.
        pieces: of tensors that are a piece of their place, where they lie in it.
        joins: by its output, every CONCATENATION of which pieces are written in place.
    """

    def __init__(
        self, graph: Graph, layers: Sequence[Layer], joins: Mapping[int, Join] | None = None
    ) -> None:
        """:func:`deploy.schedule.join.join_flow` finds the ``joins`` that are possible."""
        self.graph = graph
        self.joins = dict(joins or {})
        self.layers: list[Layer] = []
        self.places: list[Place] = []
        self.place_of: dict[int, int] = {}
        self.pieces: dict[int, Piece] = {}
        for index in graph.inputs:
            self._add(graph.tensors[index], [])
        for layer in layers:
            (output,) = layer.outputs
            if layer.alias:
                self.place_of[output] = self.place_of[layer.inputs[0]]
                place = self.places[self.place_of[output]]
                place.tensors.append(output)
                place.views = True
            elif output in self.joins:
                self._join(layer, self.joins[output])
            else:
                self._add(graph.tensors[output], [self._run(layer)])
        for index in graph.outputs:
            self.places[self.place_of[index]].is_output = True
        # Between layers p - 1 and p: the places that are written already and needed later.
        count = len(self.layers)
        self.crossing: list[list[int]] = [[] for _ in range(count + 1)]
        for index, place in enumerate(self.places):
            start = 0 if place.producer is None else place.producer + 1
            users = [*place.writers, *(reader for reader, _ in place.readers)]
            end = max(users, default=start - 1)
            for position in range(start, count + 1 if place.is_output else end + 1):
                self.crossing[position].append(index)

    def _run(self, layer: Layer) -> int:
        number = len(self.layers)
        self.layers.append(layer)
        for position, index in enumerate(layer.inputs):
            self.places[self.place_of[index]].readers.append((number, position))
        return number

    def _add(self, tensor: Tensor, writers: list[int]) -> None:
        self.place_of[tensor.index] = len(self.places)
        self.places.append(Place([tensor.index], tensor.bytes, tensor.height, writers))

    def _join(self, layer: Layer, join: Join) -> None:
        """The places of what is written in place become pieces of the output's."""
        (output,) = layer.outputs
        whole = self.graph.tensors[output]
        place = Place(
            [output], whole.bytes, 1 if join.apart else whole.height, [],
            views=join.apart, apart=join.apart,
        )  # fmt: skip
        for position, piece in zip(join.placed, join.pieces, strict=True):
            number = self.place_of[layer.inputs[position]]
            part = self.places[number]
            for tensor in part.tensors:
                self.place_of[tensor] = len(self.places)
                self.pieces[tensor] = Piece(part.writers[0], *piece)
            place.parts.append(part.tensors[0])
            place.tensors += part.tensors
            place.readers += part.readers
            place.writers += part.writers
            self.places[number] = Place([], 0, 1, [])  # nothing is left of it
        place.writers.sort()
        if join.copy is not None:
            place.writers.append(self._run(join.copy))
            place.parts.append(output)
        self.place_of[output] = len(self.places)
        self.places.append(place)

    def pitched(self, layer: int) -> Piece | None:
        """What a layer writes, where that is a piece of every pixel."""
        piece = self.pieces.get(self.layers[layer].outputs[0])
        return piece if piece is not None and piece.pitch > piece.run else None

    def is_joined(self, layer: int) -> bool:
        """Whether a layer writes a piece, or reads of a place whose pieces lie apart: then nothing
        of it is done in place."""
        return bool(self.places[self.output(layer)].parts) or self.is_apart(layer)

    def is_apart(self, layer: int) -> bool:
        """Whether a layer reads or writes a place whose pieces lie apart."""
        return any(self.places[i].apart for i in (*self.inputs(layer), self.output(layer)))

    def inputs(self, layer: int) -> list[int]:
        """The places that a layer reads."""
        return [self.place_of[index] for index in self.layers[layer].inputs]

    def output(self, layer: int) -> int:
        """The place that a layer writes."""
        return self.place_of[self.layers[layer].outputs[0]]

    def height(self, layer: int) -> int:
        """Output rows of a layer."""
        return self.graph.tensors[self.layers[layer].outputs[0]].height

    def crossing_bytes(self, position: int) -> int:
        """Bytes needed between two layers."""
        return sum(self.places[index].bytes for index in self.crossing[position])
