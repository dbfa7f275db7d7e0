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
    """

    tensors: list[int]
    bytes: int
    height: int
    producer: int | None
    readers: list[tuple[int, int]] = field(default_factory=list)
    is_output: bool = False
    views: bool = False

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
    """

    def __init__(self, graph: Graph, layers: Sequence[Layer]) -> None:
        self.graph = graph
        self.layers = [layer for layer in layers if not layer.alias]
        self.places: list[Place] = []
        self.place_of: dict[int, int] = {}
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

    def inputs(self, layer: int) -> list[int]:
        """The places that a layer reads."""
        return [self.place_of[index] for index in self.layers[layer].inputs]

    def output(self, layer: int) -> int:
        """The place that a layer writes."""
        return self.place_of[self.layers[layer].outputs[0]]

    def height(self, layer: int) -> int:
        """Output rows of a layer."""
        return self.places[self.output(layer)].height

    def crossing_bytes(self, position: int) -> int:
        """Bytes needed between two layers."""
        return sum(self.places[index].bytes for index in self.crossing[position])
