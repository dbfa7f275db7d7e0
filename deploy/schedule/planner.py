# SPDX-License-Identifier: Apache-2.0
"""Chooses which layers run whole, which in streams, and how many rows at a time.

Candidates are single layers, short streams (a fused block), and streams from the network's input.
For a limit of RAM, dynamic programming over the layers finds the cheapest sequence of candidates
that stays below it.
"""

from dataclasses import dataclass, replace

from deploy.core.errors import DeployError
from deploy.schedule.cost import extra_instructions, total_instructions
from deploy.schedule.flow import Flow
from deploy.schedule.occupancy import Builder, Timeline, is_ring, plane_rows, scratch_bytes
from deploy.schedule.placement import most_needed, needed_bytes, place
from deploy.schedule.stream import BAND, MAX_BATCH, Segment, can_stream
from deploy.tflite.parameters import Conv1x1Params

SCHEDULES = ("auto", "layer", "fused", "rows")
INPUTS = ("image", "rows")
LONGEST_BLOCK = 5
# What a plan may cost where no limit of RAM asks for more; the measured bound is 3 %.
FREE_SHARE = 0.028
ATTEMPTS = 12
SHARES = (1.0, 0.7, 0.4, 0.2)  # of the free memory, tried in this order


@dataclass(frozen=True)
class Option:
    """One way to run a stretch of layers: bytes at its peak, extra instructions."""

    segment: Segment
    bytes: int
    cost: float


@dataclass(frozen=True)
class Schedule:
    """A schedule with its memory plan.

    ``offsets`` are those of ``timeline.buffers``; ``cost`` is the estimate of the instructions
    that it takes more than layer by layer.
    """

    kind: str
    segments: list[Segment]
    timeline: Timeline
    offsets: list[int]
    arena_bytes: int
    lower_bound: int
    peak_step: int
    cost: float

    @property
    def pushed(self) -> bool:
        """Whether the input arrives row by row."""
        return self.segments[0].pushed

    def rows_at_a_time(self, layer: int) -> int:
        """Output rows that a layer has input rows for."""
        segment = next(s for s in self.segments if s.first <= layer < s.last)
        return segment.rows_at_a_time(layer)


def peak_bytes(flow: Flow, segment: Segment) -> int:
    """Bytes that a segment needs at its worst moment, with everything else that must stay."""
    timeline = Builder(flow, [segment]).timeline()
    own = {index for buffer in timeline.buffers for index in buffer.places}
    outside = set(flow.crossing[segment.first]) & set(flow.crossing[segment.last]) - own
    needed, _ = most_needed(timeline.buffers, len(timeline.steps))
    return needed + sum(flow.places[index].bytes for index in outside)


def _is_window(flow: Flow, number: int) -> bool:
    rows = flow.layers[number].rows
    return rows is not None and (rows.stride, rows.extent) != (1, 1)


def _batches(flow: Flow, first: int, last: int, windows: dict[int, int]) -> tuple[int, ...]:
    """Rows at a time of every layer: as given for windows, and what suits the others.

    A layer behind a window takes the rows as they come. Others take as few rows as fill the
    matrix kernel's four pixels.
    """
    found: dict[int, int] = {}
    for number in range(first, last):
        producers = [p for index in flow.inputs(number) for p in flow.places[index].writers]
        behind = [found[p] for p in producers if p >= first]
        if number in windows:
            found[number] = windows[number]
        elif behind and (len(producers) > 1 or any(p in windows for p in producers)):
            found[number] = max(behind)
        else:
            params = flow.layers[number].params
            width = params.width if isinstance(params, Conv1x1Params) else 4
            smallest = min(windows.values(), default=MAX_BATCH)
            found[number] = {0: 1, 2: 2}.get(width % 4, 4) if smallest > 1 else 1
        found[number] = min(found[number], flow.height(number))
    return tuple(found[number] for number in range(first, last))


class Candidate:
    """A stream of some layers, in versions with fewer and fewer rows at a time."""

    def __init__(self, flow: Flow, first: int, last: int, pushed: bool) -> None:
        self.flow, self.first, self.last, self.pushed = flow, first, last, pushed
        windows = {
            n: min(MAX_BATCH, flow.height(n)) for n in range(first, last) if _is_window(flow, n)
        }
        self._versions: list[tuple[int, ...]] = []
        while True:
            self._versions.append(_batches(flow, first, last, windows))
            number = self._cheapest(windows)
            if number is None:
                break
            windows[number] -= 1
        self._measured: dict[int, Option] = {}

    def _cheapest(self, windows: dict[int, int]) -> int | None:
        """Where one row less at a time saves most memory for what it costs."""
        best, choice = -1.0, None
        for number, batch in windows.items():
            if batch == 1:
                continue
            window = self.flow.layers[number].rows
            assert window is not None
            source = self.flow.places[self.flow.inputs(number)[0]]
            target = self.flow.places[self.flow.output(number)]
            saved = window.stride * source.row_bytes + target.row_bytes
            more = extra_instructions(self.flow, number, batch - 1) - extra_instructions(
                self.flow, number, batch
            )
            if saved / (max(more, 0) + 1) > best:
                best, choice = saved / (max(more, 0) + 1), number
        return choice

    def _option(self, version: int) -> Option:
        if version not in self._measured:
            batches = self._versions[version]
            segment = Segment(self.first, self.last, batches, self.pushed)
            cost = sum(
                extra_instructions(self.flow, n, batch)
                for n, batch in zip(range(self.first, self.last), batches, strict=True)
            )
            self._measured[version] = Option(segment, peak_bytes(self.flow, segment), cost)
        return self._measured[version]

    def within(self, limit: float) -> Option | None:
        """The fastest version that stays below ``limit`` bytes, as far as bisection finds it."""
        low, high = -1, len(self._versions) - 1
        if self._option(high).bytes > limit:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self._option(middle).bytes <= limit:
                high = middle
            else:
                low = middle
        return self._option(high)


class Planner:
    """Plans one network; see :func:`plan_schedule`."""

    def __init__(self, flow: Flow, kind: str, pushed: bool) -> None:
        self.flow, self.kind, self.pushed = flow, kind, pushed
        self.count = len(flow.layers)
        self.whole = [
            Option(Segment(n, n + 1), peak_bytes(flow, Segment(n, n + 1)), 0.0)
            for n in range(self.count)
        ]
        self.candidates: dict[int, list[Candidate]] = {}
        if kind in ("auto", "fused", "rows"):
            self._add_blocks()
        if kind in ("auto", "rows"):
            self._add_streams()

    def _add(self, first: int, last: int) -> None:
        pushed = self.pushed and first == 0
        if not can_stream(self.flow, first, last):
            return
        if pushed:
            segment = Segment(first, last, (1,) * (last - first), True)
            if not is_ring(self.flow, segment, self.flow.inputs(0)[0]):
                return
        self.candidates.setdefault(first, []).append(Candidate(self.flow, first, last, pushed))

    def _add_blocks(self) -> None:
        cuts = [p for p in range(self.count + 1) if len(self.flow.crossing[p]) == 1]
        for first in cuts:
            for last in cuts:
                if first < last <= first + LONGEST_BLOCK:
                    inside = range(first + 1, last)
                    ends = max(self.flow.crossing_bytes(p) for p in (first, last))
                    if all(self.flow.crossing_bytes(p) > ends for p in inside) or not inside:
                        self._add(first, last)

    def _add_streams(self) -> None:
        size = [self.flow.crossing_bytes(p) for p in range(self.count + 1)]
        for last in range(1, self.count):
            if len(self.flow.crossing[last]) == 1 and size[last] <= min(size[last - 1 : last + 2]):
                if any(c.last == last for c in self.candidates.get(0, ())):
                    continue
                self._add(0, last)

    def best(self, limit: float) -> tuple[list[Segment], float] | None:
        """The cheapest segments that stay below ``limit`` bytes, by estimate."""
        costs: list[float] = [float("inf")] * self.count + [0.0]
        choice: list[Option | None] = [None] * (self.count + 1)
        for position in reversed(range(self.count)):
            options: list[Option] = []
            if (position or not self.pushed) and self.whole[position].bytes <= limit:
                options.append(self.whole[position])
            near = self.whole[position : position + LONGEST_BLOCK]
            if any(option.bytes > limit for option in near) or position == 0:
                for candidate in self.candidates.get(position, ()):
                    if costs[candidate.last] < float("inf"):
                        found = candidate.within(limit)
                        options += [found] if found else []
            for option in options:
                cost = option.cost + costs[option.segment.last]
                if cost < costs[position]:
                    costs[position], choice[position] = cost, option
        if costs[0] == float("inf"):
            return None
        segments, position = [], 0
        while position < self.count:
            chosen = choice[position]
            assert chosen is not None
            segments.append(chosen.segment)
            position = chosen.segment.last
        return segments, costs[0]

    def smallest(self, most_cost: float) -> tuple[float, list[Segment], float]:
        """(limit, segments, cost) of the least memory whose cost is at most ``most_cost``."""
        low, high = 0.0, float(sum(place.bytes for place in self.flow.places) * 2 + 100_000)
        found = self.best(high)
        if found is None:
            raise DeployError(
                f"{self.flow.graph.name}: its input cannot be pushed row by row: the first layers "
                "have no rows or read it again later; compile it with --input image"
            )
        segments, cost = found
        while high - low > max(32.0, 0.002 * high):
            middle = (low + high) / 2
            found = self.best(middle)
            if found is not None and found[1] <= most_cost:
                high, (segments, cost) = middle, found
            else:
                low = middle
        return high, segments, cost


def arrange(flow: Flow, kind: str, segments: list[Segment], cost: float) -> Schedule:
    """Place the buffers of a sequence of segments.

    Memory that is free while a depthwise convolution makes its whole map goes to its input rows:
    the fewer bands, the less often its inner loop is set up and rows move.
    """
    schedule = _arrange(flow, kind, segments, cost)
    for share in SHARES:
        taller = _taller_bands(flow, schedule, share)
        if taller == segments:
            break
        found = _arrange(flow, kind, taller, cost, schedule.arena_bytes)
        if found.arena_bytes <= schedule.arena_bytes:
            return found
    return schedule


def _arrange(
    flow: Flow, kind: str, segments: list[Segment], cost: float, enough: int = 0
) -> Schedule:
    timeline = Builder(flow, segments).timeline()
    bound, step = most_needed(timeline.buffers, len(timeline.steps))
    top, offsets = place(timeline.buffers, max(bound, enough))
    return Schedule(kind, segments, timeline, offsets, top, bound, step, cost)


def _taller_bands(flow: Flow, schedule: Schedule, share: float) -> list[Segment]:
    """Segments whose depthwise convolutions take a share of what is free while they run."""
    timeline = schedule.timeline
    needed = needed_bytes(timeline.buffers, len(timeline.steps))
    at = {step.layer: time for time, step in enumerate(timeline.steps)}
    found = []
    for segment in schedule.segments:
        layer = flow.layers[segment.first]
        if segment.batches or plane_rows(layer, BAND) is None:
            found.append(segment)
            continue
        height, before = flow.height(segment.first), scratch_bytes(layer, BAND)
        free = share * (schedule.arena_bytes - int(needed[at[segment.first]]))
        bands = -(-height // BAND)
        while bands > 1 and scratch_bytes(layer, -(-height // (bands - 1))) - before <= free:
            bands -= 1
        found.append(replace(segment, band=max(BAND, -(-height // bands))))
    return found


def plan_schedule(flow: Flow, kind: str, ram: int | None, pushed: bool) -> Schedule:
    """Choose a schedule.

    Args:
        kind: "layer": every layer whole; "fused": also short streams; "rows": also a stream from
            the input on; "auto": the best of all.
        ram: bytes that the arena may take: the fastest plan that fits is taken. None: the
            smallest plan that costs next to nothing.
        pushed: the input arrives row by row.

    Raises:
        DeployError: no plan fits (says by how many bytes, at which layer, under each schedule),
            or the input cannot be pushed.
    """
    if pushed and kind in ("layer", "fused"):
        raise DeployError(
            f"{flow.graph.name}: schedule {kind!r} needs the whole image; push rows with "
            "--schedule rows or auto"
        )
    if pushed and len(flow.graph.inputs) != 1:
        raise DeployError(
            f"{flow.graph.name}: {len(flow.graph.inputs)} inputs, only a single one can be pushed "
            "row by row; compile it with --input image"
        )
    planner = Planner(flow, kind, pushed)
    allowed = FREE_SHARE * total_instructions(flow)
    if ram is None:
        _, segments, cost = planner.smallest(allowed)
        return arrange(flow, kind, segments, cost)
    limit = float(ram)
    for _ in range(ATTEMPTS):
        found = planner.best(limit)
        if found is None:
            break
        schedule = arrange(flow, kind, *found)
        if schedule.arena_bytes <= ram:
            return schedule
        # Placement came close only: aim lower.
        limit -= max(schedule.arena_bytes - ram, 0.01 * ram)
    _, segments, cost = planner.smallest(float("inf"))
    schedule = arrange(flow, kind, segments, cost)
    if schedule.arena_bytes <= ram:
        return schedule
    raise DeployError(_too_large(flow, kind, ram, pushed))


def _too_large(flow: Flow, kind: str, ram: int, pushed: bool) -> str:
    kinds = ("rows",) if pushed else ("layer", "fused", "rows") if kind == "auto" else (kind,)
    parts = []
    for each in kinds:
        _, segments, cost = Planner(flow, each, pushed).smallest(float("inf"))
        schedule = arrange(flow, each, segments, cost)
        step = schedule.timeline.steps[schedule.peak_step]
        layer = flow.layers[max(step.layer, 0)]
        parts.append(
            f"{each}: {schedule.arena_bytes - ram:,} bytes too many at {layer.kind} {layer.name!r}"
        )
    return (
        f"{flow.graph.name} does not fit into {ram:,} bytes of RAM ({'; '.join(parts)}); "
        "take a smaller width or resolution, or push its image by rows"
    )
