# SPDX-License-Identifier: Apache-2.0
"""Which pieces of a CONCATENATION the layers that make them write in place.

Along an axis before which there is one block the pieces lie one behind the other, and any layer can
write its own. Along the channels a piece is a run of every pixel: only kernels that take a pitch
can write it, and nothing but the CONCATENATION may read it. What nobody writes in place is copied.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deploy.schedule.flow import Flow, Join
from deploy.tflite import Graph, Layer
from deploy.tflite.parameters import ConcatenationParams
from deploy.tflite.values import Constant


def join_flow(graph: Graph, layers: Sequence[Layer], *, apart: bool = True) -> Flow:
    """The flow in which layers write pieces of a CONCATENATION in place where they can; without
    ``apart`` only where each makes a share of every row."""
    return Flow(graph, layers, find_joins(Flow(graph, layers), apart=apart))


def find_joins(flow: Flow, *, apart: bool) -> dict[int, Join]:
    """By their outputs, the concatenations of which something can be written in place.

    Args:
        flow: with all of them as layers.
        apart: whether also those whose pieces do not share the output's rows.
    """
    found: dict[int, Join] = {}
    taken: set[int] = set()
    for number, layer in enumerate(flow.layers):
        if layer.kernel != "nb_concatenation_s8":
            continue
        parts = flow.inputs(number)
        placed = [
            position
            for position, part in enumerate(parts)
            if part not in taken and parts.count(part) == 1 and _fits(flow, number, position)
        ]
        if not placed:
            continue
        join = _join(flow, number, placed)
        if apart or not join.apart:
            found[layer.outputs[0]] = join
            taken |= {*(parts[position] for position in placed), flow.output(number)}
    return found


def _runs(layer: Layer) -> np.ndarray:
    """[inputs][2]: elements of each input in a block, and where in the block they begin."""
    return _params(layer).runs.data.reshape(-1, 2)


def _params(layer: Layer) -> ConcatenationParams:
    if not isinstance(layer.params, ConcatenationParams):
        raise TypeError(f"{layer.name} is no concatenation")
    return layer.params


def _fits(flow: Flow, number: int, position: int) -> bool:
    """Whether an input's layer can write it in place."""
    layer = flow.layers[number]
    place = flow.places[flow.inputs(number)[position]]
    if place.producer is None or place.is_output:
        return False
    if _params(layer).blocks == 1:
        return True
    maker = flow.layers[place.producer]
    channels = flow.graph.tensors[maker.outputs[0]].shape[-1]
    return (
        channels == _runs(layer)[position, 0]
        and maker.takes_pitch(_params(layer).block)
        and place.readers == [(number, position)]
    )


def _join(flow: Flow, number: int, placed: list[int]) -> Join:
    layer = flow.layers[number]
    runs, together = _runs(layer), _params(layer).blocks == 1
    places = [flow.places[flow.inputs(number)[position]] for position in placed]
    height = flow.graph.tensors[layer.outputs[0]].height
    apart = together or any(place.views or place.height != height for place in places)
    rest = [position for position in range(len(runs)) if position not in placed]
    copy = None
    if rest:
        kept = Constant(np.ascontiguousarray(runs[rest]).reshape(-1), "tables")
        copy = replace(
            layer,
            inputs=tuple(layer.inputs[position] for position in rest),
            params=replace(_params(layer), runs=kept, inputs=len(rest)),
        )
    pieces = []
    for run, begin in runs[placed].tolist():
        pieces.append((begin, run, run if together else _params(layer).block))
    return Join(tuple(placed), tuple(pieces), copy, apart)
