# SPDX-License-Identifier: Apache-2.0
"""The memory plan for people: a table of what lies where and when, and a picture of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Template

from deploy.codegen import Compilation
from deploy.core.templates import template_set
from deploy.schedule import PUSH, Buffer, Segment

_LEFT, _TOP, _WIDTH, _HEIGHT = 84, 64, 1060, 520
_MOST_POINTS = 800  # of one buffer's outline; what is finer than that cannot be seen
_KINDS = ("input", "output", "activation", "scratch", "state")


@dataclass(frozen=True)
class MapEntry:
    """One buffer of the arena.

    Attributes:
        kind: one of input, output, activation, scratch, state.
        name: of the tensors that share it, or of the layer whose scratch it is.
        offset, bytes: where it lies.
        rows: rows of the map that it holds at a time; None where it is no map.
        height: rows that the whole map has.
        first, last: the layers between which it is needed (-1: before the first).
    """

    kind: str
    name: str
    offset: int
    bytes: int
    rows: int | None
    height: int | None
    first: int
    last: int


def map_entries(compilation: Compilation) -> list[MapEntry]:
    """Every buffer of the plan, by address, then by time."""
    flow, schedule = compilation.flow, compilation.schedule
    steps = schedule.timeline.steps
    found = []
    for buffer, offset in zip(schedule.timeline.buffers, schedule.offsets, strict=True):
        layers = [step.layer for step in steps[buffer.start : buffer.end]]
        kind, name = _describe(compilation, buffer)
        rows = height = None
        if buffer.places:
            place = flow.places[buffer.places[0]]
            ring = schedule.timeline.rings.get(buffer.places[0])
            rows, height = ring.rows if ring else place.height, place.height
        found.append(
            MapEntry(
                kind, name, offset, buffer.bytes, rows, height,
                min(layers, default=-1), max(layers, default=-1),
            )
        )  # fmt: skip
    return sorted(found, key=lambda piece: (piece.offset, piece.first, piece.name))


def needed_bytes(compilation: Compilation) -> list[int]:
    """For each layer, the bytes that are needed at its worst step, the layer's own included."""
    timeline = compilation.schedule.timeline
    total = np.zeros(max(len(timeline.steps), 1), np.int64)
    for buffer in timeline.buffers:
        total[buffer.start : buffer.end] += np.maximum(
            buffer.high - np.maximum(buffer.low, buffer.low_after), 0
        )
    most = [0] * len(compilation.flow.layers)
    for step, needed in zip(timeline.steps, total.tolist(), strict=False):
        if step.layer != PUSH:
            most[step.layer] = max(most[step.layer], needed)
    return most


def render_map(compilation: Compilation) -> str:
    """The plan as an SVG, time to the right and addresses upwards; same plan, same bytes.

    A stretch of n steps is 1 + sqrt(n) wide.
    """
    schedule, plan = compilation.schedule, compilation.plan
    arena = max(plan.arena_bytes, 1)
    # A stream has hundreds of steps, a layer that runs whole has one: neither may hide the other.
    counts, start = [], 0
    for segment in schedule.segments:
        counts.append(_steps_of(compilation, segment, start))
        start += counts[-1]
    edges = np.cumsum([0, *counts])
    places = np.cumsum([0.0, *(1 + np.sqrt(np.array(counts, float)))])

    def x(step: float) -> float:
        return round(_LEFT + float(np.interp(step, edges, places)) / places[-1] * _WIDTH, 1)

    def y(address: float) -> float:
        return round(_TOP + _HEIGHT - address / arena * _HEIGHT, 1)

    shapes = []
    for buffer, offset in zip(schedule.timeline.buffers, schedule.offsets, strict=True):
        kind, name = _describe(compilation, buffer)
        for outline in _outlines(buffer, offset):
            shapes.append(
                {
                    "kind": kind,
                    "title": f"{name}: {buffer.bytes:,} bytes at {offset:,}",
                    "points": " ".join(f"{x(step)},{y(address)}" for step, address in outline),
                }
            )
    sections = []
    for segment, left, right in zip(schedule.segments, edges, edges[1:], strict=False):
        wide = x(right) - x(left) > 14
        sections.append({"x": x(left), "label": _label(compilation, segment) if wide else ""})
    return _template().render(
        plan=plan,
        shapes=shapes,
        sections=sections,
        kinds=_KINDS,
        left=_LEFT,
        top=_TOP,
        width=_WIDTH,
        height=_HEIGHT,
        peak=x(schedule.peak_step + 0.5),
        peak_layer=plan.layers[plan.arena_peak_layer].name if plan.layers else "",
        marks=[{"y": y(arena * part / 4), "bytes": round(arena * part / 4)} for part in range(5)],
    )


@cache
def _template() -> Template:
    return template_set(Path(__file__).parent).get_template("map.svg.j2")


def _describe(compilation: Compilation, buffer: Buffer) -> tuple[str, str]:
    flow = compilation.flow
    if buffer.places:
        tensors = [flow.places[index].tensors[0] for index in buffer.places]
        names = ", ".join(flow.graph.tensors[index].name for index in tensors)
        if any(flow.places[index].producer is None for index in buffer.places):
            return "input", names
        outputs = any(flow.places[index].is_output for index in buffer.places)
        return ("output" if outputs else "activation"), names
    assert buffer.layer is not None
    if buffer.layer < 0:
        return "state", f"progress of the stream from {flow.layers[-1 - buffer.layer].name}"
    return "scratch", f"scratch of {flow.layers[buffer.layer].name}"


def _outlines(buffer: Buffer, offset: int) -> Iterator[list[tuple[float, int]]]:
    """Closed outlines (step, address) of the bytes that a buffer needs, one for each stretch of
    time without a gap."""
    needed = np.flatnonzero(buffer.high > buffer.low)
    if not len(needed):
        return
    breaks = np.flatnonzero(np.diff(needed) > 1)
    for stretch in np.split(needed, breaks + 1):
        first, last = int(stretch[0]), int(stretch[-1]) + 1
        low, high = buffer.low[first:last], buffer.high[first:last]
        size = -(-len(low) // _MOST_POINTS)
        edges = range(0, len(low), size)
        upper: list[tuple[float, int]] = []
        lower: list[tuple[float, int]] = []
        for edge in edges:
            end = min(edge + size, len(low))
            top, bottom = int(high[edge:end].max()), int(low[edge:end].min())
            for line, level in ((upper, top), (lower, bottom)):
                if len(line) > 1 and line[-1][1] == offset + level:
                    line[-1] = (buffer.start + first + end, offset + level)
                else:
                    line.append((buffer.start + first + edge, offset + level))
                    line.append((buffer.start + first + end, offset + level))
        yield upper + lower[::-1]


def _steps_of(compilation: Compilation, segment: Segment, start: int) -> int:
    steps = compilation.schedule.timeline.steps
    count = 0
    while start + count < len(steps):
        layer = steps[start + count].layer
        if not (segment.first <= layer < segment.last or (layer == PUSH and segment.pushed)):
            break
        count += 1
    return count


def _label(compilation: Compilation, segment: Segment) -> str:
    if segment.batches:
        return f"layers {segment.first}-{segment.last - 1}, by rows"
    return f"{segment.first} {compilation.flow.layers[segment.first].kind.lower()}"
