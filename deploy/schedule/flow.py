"""What the scheduler asks a graph: who makes a tensor, who reads it, in which rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.graph.ir import Graph, Tensor
from deploy.graph.layer import Layer


@dataclass
class Place:
    """Memory that holds one tensor, or several that are the same bytes (RESHAPE).

    Attributes:
        tensors: their indices, the first one made first.
        bytes, height: of the first; a row has bytes // height bytes.
        producer: the layer that writes it, None for a graph input.
        readers: (layer, position in its inputs) that read it.
        is_output: whether it must stay to the end.
        views: whether a reader sees it under another shape.
        parts: where several layers write it, each its own piece (CONCATENATION): the tensors that
            they make. ``producer`` is the first of those layers.
    """

    tensors: list[int]
    bytes: int
    height: int
    producer: int | None
    readers: list[tuple[int, int]] = field(default_factory=list)
    is_output: bool = False
    views: bool = False
    parts: list[int] = field(default_factory=list)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.bytes // self.height


class Flow:
    """The layers that run, in order, and the memory that they share.

    Attributes:
        layers: aliases left out; a layer's index here is its number everywhere.
        places: all memory for activations.
        place_of: tensor index to its place's index.
        inside: for tensors that do not begin where their place does: how many bytes behind.
        joined: tensors that a CONCATENATION would copy together and that its inputs' layers write
            in place instead.
    """

    def __init__(self, graph: Graph, layers: Sequence[Layer], *, join: bool = True) -> None:
        """With ``join`` concatenations whose pieces can be written in place are no layers."""
        self.graph = graph
        self.joined = _joinable(graph, layers) if join else frozenset[int]()
        self.layers = [
            layer for layer in layers if not layer.alias and layer.outputs[0] not in self.joined
        ]
        self.places: list[Place] = []
        self.place_of: dict[int, int] = {}
        self.inside: dict[int, int] = {}
        for index in graph.inputs:
            self._add(graph.tensors[index], None)
        number = 0
        for layer in layers:
            (output,) = layer.outputs
            if layer.alias:
                self.place_of[output] = self.place_of[layer.inputs[0]]
                place = self.places[self.place_of[output]]
                place.tensors.append(output)
                place.views = True
                continue
            if output in self.joined:
                self._join(layer)
                continue
            for position, index in enumerate(layer.inputs):
                self.places[self.place_of[index]].readers.append((number, position))
            self._add(graph.tensors[output], number)
            number += 1
        for index in graph.outputs:
            self.places[self.place_of[index]].is_output = True
        # Between layers p - 1 and p: the places that are written already and needed later.
        self.crossing: list[list[int]] = [[] for _ in range(number + 1)]
        for index, place in enumerate(self.places):
            start = 0 if place.producer is None else place.producer + 1
            end = max((reader for reader, _ in place.readers), default=start - 1)
            for position in range(start, number + 1 if place.is_output else end + 1):
                self.crossing[position].append(index)

    def _add(self, tensor: Tensor, producer: int | None) -> None:
        self.place_of[tensor.index] = len(self.places)
        self.places.append(Place([tensor.index], tensor.bytes, tensor.height, producer))

    def _join(self, layer: Layer) -> None:
        """The inputs' places become pieces of the output's, one behind the other."""
        (output,) = layer.outputs
        place = Place([output], self.graph.tensors[output].bytes, 1, None, views=True)
        begin = 0
        for index in layer.inputs:
            number = self.place_of[index]
            part = self.places[number]
            assert part.producer is not None  # _joinable
            for tensor in part.tensors:
                self.place_of[tensor] = len(self.places)
                self.inside[tensor] = begin
            place.parts.append(part.tensors[0])
            place.tensors += part.tensors
            place.readers += part.readers
            place.producer = (
                part.producer if place.producer is None else min(part.producer, place.producer)
            )
            begin += part.bytes
            self.places[number] = Place([], 0, 1, None)  # nothing is left of it
        self.place_of[output] = len(self.places)
        self.places.append(place)

    def writers(self, index: int) -> list[int]:
        """The layers that write a place."""
        place = self.places[index]
        if not place.parts:
            return [] if place.producer is None else [place.producer]
        return [n for n, layer in enumerate(self.layers) if layer.outputs[0] in place.parts]

    def is_joined(self, layer: int) -> bool:
        """Whether a layer reads or writes a place that several layers write."""
        return any(self.places[i].parts for i in (*self.inputs(layer), self.output(layer)))

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


def _joinable(graph: Graph, layers: Sequence[Layer]) -> frozenset[int]:
    """Outputs of concatenations whose inputs lie one behind the other in memory and are all made
    by layers, none twice, none in another concatenation as well, and none an output itself."""
    flow = Flow(graph, layers, join=False)
    found: set[int] = set()
    taken: set[int] = set()
    for number, layer in enumerate(flow.layers):
        if layer.kernel != "nb_concatenation_s8" or layer.params["blocks"] != 1:
            continue
        parts, whole = flow.inputs(number), flow.output(number)
        places = [flow.places[index] for index in parts]
        fits = all(place.producer is not None and not place.is_output for place in places)
        if fits and len({*parts, whole}) == len(parts) + 1 and taken.isdisjoint({*parts, whole}):
            taken |= {*parts, whole}
            found |= set(layer.outputs)
    return frozenset(found)
