# SPDX-License-Identifier: Apache-2.0
"""Plays a schedule and looks for bytes that are overwritten while they are needed."""

import numpy as np

SCHEDULES = [("layer", "image"), ("fused", "image"), ("auto", "image"), ("rows", "rows")]


def clobbered(flow, schedule):
    """Plays the schedule on a map of the arena's bytes: every byte that is read must still be what
    was written there. Knows rings, row windows and pieces of joined tensors, not how the planner
    counts what is needed."""
    arena = np.full(schedule.arena_bytes + 1, -1, np.int64)
    offset_of, scratch = {}, {}
    streamed = {n for s in schedule.segments if s.batches for n in range(s.first, s.last)}
    for buffer, offset in zip(schedule.timeline.buffers, schedule.offsets, strict=True):
        for index in buffer.places:
            offset_of[index] = offset
        if buffer.layer is not None:
            scratch[buffer.layer] = (offset, buffer.bytes)
        assert offset + buffer.bytes <= schedule.arena_bytes

    def cells(tensor):
        """Which bytes of its place, were that all in memory, a tensor covers."""
        place = flow.places[flow.place_of[tensor]]
        piece = flow.pieces.get(tensor)
        if piece is None:
            return np.arange(place.bytes)
        runs = np.arange(flow.graph.tensors[tensor].bytes // piece.run)[:, None] * piece.pitch
        return (piece.begin + runs + np.arange(piece.run)).reshape(-1)

    # What must stand in the bytes of every place: who made them, and of which row they are.
    marks = []
    for place in flow.places:
        made = np.full(place.bytes, -1)
        for tensor in [t for t in place.parts if t not in flow.pieces] + [
            t for t in place.parts if t in flow.pieces
        ] or place.tensors[:1]:
            made[cells(tensor)] = tensor
        assert (made >= 0).all()
        marks.append(made * 100_000 + np.arange(place.bytes) // max(place.row_bytes, 1))

    def where(index, found):
        """Addresses of bytes of a place, and the marks that belong there."""
        place, ring = flow.places[index], schedule.timeline.rings.get(index)
        rows, columns = np.divmod(found, place.row_bytes)
        slots = rows if ring is None else (rows + ring.shift) % ring.rows
        return offset_of[index] + slots * place.row_bytes + columns, marks[index][found]

    def in_rows(index, found, first, last):
        rows = found // flow.places[index].row_bytes
        return found[(first <= rows) & (rows < last)]

    def write(index, found):
        addresses, own = where(index, found)
        arena[addresses] = own

    wrong = []
    for index in (flow.place_of[t] for t in flow.graph.inputs):
        if not schedule.pushed:
            write(index, np.arange(flow.places[index].bytes))
    for step in schedule.timeline.steps:
        if step.layer < 0:
            index = flow.place_of[flow.graph.inputs[0]]
            write(index, in_rows(index, cells(flow.graph.inputs[0]), step.first, step.last))
            continue
        layer = flow.layers[step.layer]
        for tensor in layer.inputs:
            index, found = flow.place_of[tensor], cells(tensor)
            if step.layer in streamed:
                top = step.first * layer.rows.stride - layer.rows.before
                end = (step.last - 1) * layer.rows.stride - layer.rows.before + layer.rows.extent
                found = in_rows(index, found, top, end)
            addresses, own = where(index, found)
            if (arena[addresses] != own).any():
                wrong.append((step, tensor))
        if step.layer in scratch:
            start, size = scratch[step.layer]
            arena[start : start + size] = -2
        output = layer.outputs[0]
        index, found = flow.place_of[output], cells(output)
        if flow.places[index].parts:  # what a layer that copies pieces leaves to the others
            found = found[marks[index][found] // 100_000 == output]
        if step.layer in streamed:
            found = in_rows(index, found, step.first, step.last)
        write(index, found)
    for tensor in flow.graph.outputs:
        addresses, own = where(flow.place_of[tensor], cells(tensor))
        if (arena[addresses] != own).any():
            wrong.append(("output", tensor))
    return wrong
