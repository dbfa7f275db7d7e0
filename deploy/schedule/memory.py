"""The memory plan: an offset in one static arena for every tensor and scratch buffer.

Time counts the layers that run: layer ``t`` reads and writes at time ``t``, graph inputs are there
from time -1, graph outputs stay until one after the last layer. Tensors that share memory by
intention (aliases, and outputs that a kernel writes over its input) form a group with one offset;
every other pair that is alive at the same time lies apart.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.graph.ir import Graph
from deploy.graph.layer import Layer

ALIGNMENT = 4
SHUFFLES = 300


@dataclass(frozen=True)
class Region:
    """``bytes`` needed from layer ``first`` to layer ``last``, both included."""

    first: int
    last: int
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lies; offsets and sizes in bytes.

    ``lifetimes`` are (first, last) layer of a tensor. ``peak_layer`` is the first layer at which
    the arena's last byte is in use. ``lower_bound`` is what any placement of these groups needs.
    """

    arena_bytes: int
    offsets: dict[int, int]
    scratch_offsets: dict[int, int]
    lifetimes: dict[int, tuple[int, int]]
    groups: tuple[tuple[int, ...], ...]
    peak_layer: int
    lower_bound: int


@dataclass
class _Group:
    tensors: list[int] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    needed_until: int = -1


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _times(layers: Sequence[Layer]) -> list[int]:
    """When each layer runs; an alias takes no time, it happens with the layer before it."""
    times, now = [], -1
    for layer in layers:
        if not layer.alias:
            now += 1
        times.append(now)
    return times


def _lifetimes(
    graph: Graph, layers: Sequence[Layer], times: Sequence[int]
) -> dict[int, tuple[int, int]]:
    first = {index: -1 for index in graph.inputs}
    last = {index: -1 for index in graph.inputs}
    for time, layer in zip(times, layers, strict=True):
        for index in layer.outputs:
            first[index] = last[index] = time
        for index in layer.inputs:
            last[index] = max(last[index], time)
    for index in graph.outputs:
        last[index] = (times[-1] if times else -1) + 1
    return {index: (first[index], last[index]) for index in first}


def _group_tensors(
    graph: Graph,
    layers: Sequence[Layer],
    times: Sequence[int],
    lifetimes: dict[int, tuple[int, int]],
) -> list[_Group]:
    """Join aliases always, and in-place outputs where nothing needs the input afterwards."""
    root = {index: index for index in lifetimes}
    for layer in layers:
        if layer.alias:
            root[layer.outputs[0]] = root[layer.inputs[0]]
    needed_until: dict[int, int] = {}
    for index, (_, last) in lifetimes.items():
        needed_until[root[index]] = max(needed_until.get(root[index], -1), last)

    group_of: dict[int, _Group] = {}
    for index in graph.inputs:
        group_of[index] = _Group([index], needed_until=needed_until[index])
    for time, layer in zip(times, layers, strict=True):
        (output,) = layer.outputs
        target: _Group | None = None
        if layer.alias:
            target = group_of[layer.inputs[0]]
        else:
            for position in layer.in_place:
                candidate = group_of[layer.inputs[position]]
                if candidate.needed_until == time:
                    target = candidate
                    break
        if target is None:
            target = _Group()
        target.tensors.append(output)
        target.needed_until = max(target.needed_until, needed_until[root[output]])
        group_of[output] = target
    groups: list[_Group] = []
    for group in group_of.values():
        if not any(group is other for other in groups):
            groups.append(group)
    for group in groups:
        group.regions = [
            Region(*lifetimes[index], _align(graph.tensors[index].bytes)) for index in group.tensors
        ]
    return groups


def _place(groups: Sequence[Sequence[Region]], order: Sequence[int]) -> tuple[int, list[int]]:
    """Put groups, in ``order``, each at the lowest offset that is free for all its regions."""
    offsets = [-1] * len(groups)
    placed: list[tuple[Region, int]] = []
    top = 0
    for number in order:
        blocked: list[tuple[int, int]] = []
        for region in groups[number]:
            for other, offset in placed:
                if region.first <= other.last and other.first <= region.last:
                    blocked.append((offset - region.bytes + 1, offset + other.bytes))
        blocked.sort()
        position = 0
        for start, end in blocked:
            if start <= position < end:
                position = end
            elif start > position:
                break
        offsets[number] = position
        for region in groups[number]:
            placed.append((region, position))
            top = max(top, position + region.bytes)
    return top, offsets


def _lower_bound(groups: Sequence[Sequence[Region]]) -> int:
    """The most bytes alive at any time, a group counting its largest region."""
    times = {region.first for group in groups for region in group}
    best = 0
    for time in times:
        total = 0
        for group in groups:
            alive = [r.bytes for r in group if r.first <= time <= r.last]
            total += max(alive, default=0)
        best = max(best, total)
    return best


def place_regions(groups: Sequence[Sequence[Region]]) -> tuple[int, list[int]]:
    """Offsets for groups of regions so that no two groups overlap in time and address.

    Greedy placement in several orders, then in seeded variations of the best order; the best is
    kept. Deterministic.

    Returns:
        (bytes needed, offset of each group).
    """
    bound = _lower_bound(groups)
    numbers = list(range(len(groups)))

    def largest(number: int) -> int:
        return max((r.bytes for r in groups[number]), default=0)

    def area(number: int) -> int:
        return sum(r.bytes * (r.last - r.first + 1) for r in groups[number])

    def start(number: int) -> int:
        return min((r.first for r in groups[number]), default=0)

    orders = [
        sorted(numbers, key=lambda n: (-largest(n), start(n), n)),
        sorted(numbers, key=lambda n: (-area(n), start(n), n)),
        sorted(numbers, key=lambda n: (start(n), -largest(n), n)),
        sorted(numbers, key=lambda n: (-start(n), -largest(n), n)),
    ]
    best_top, best_offsets, best_order = -1, [0] * len(groups), numbers
    for order in orders:
        top, offsets = _place(groups, order)
        if best_top < 0 or top < best_top:
            best_top, best_offsets, best_order = top, offsets, order
    chooser = random.Random(0)
    for _ in range(SHUFFLES if len(groups) > 1 else 0):
        if best_top <= bound:
            break
        order = list(best_order)
        a, b = chooser.sample(range(len(order)), 2)
        order.insert(b, order.pop(a))
        top, offsets = _place(groups, order)
        if top <= best_top:
            best_top, best_offsets, best_order = top, offsets, order
    return max(best_top, 0), best_offsets


def plan_memory(graph: Graph, layers: Sequence[Layer]) -> MemoryPlan:
    """Place every activation tensor and scratch buffer of ``layers``, run in this order."""
    times = _times(layers)
    lifetimes = _lifetimes(graph, layers, times)
    groups = _group_tensors(graph, layers, times, lifetimes)
    scratch = [
        (time, layer.scratch_bytes)
        for time, layer in zip(times, layers, strict=True)
        if layer.scratch_bytes
    ]
    regions = [group.regions for group in groups]
    regions += [[Region(time, time, _align(size))] for time, size in scratch]
    top, offsets = place_regions(regions)
    peak = min(
        (
            max(region.first, 0)
            for group, offset in zip(regions, offsets, strict=True)
            for region in group
            if offset + region.bytes == top
        ),
        default=0,
    )
    return MemoryPlan(
        arena_bytes=top,
        offsets={
            index: offset
            for group, offset in zip(groups, offsets, strict=False)
            for index in group.tensors
        },
        scratch_offsets={
            time: offsets[len(groups) + position] for position, (time, _) in enumerate(scratch)
        },
        lifetimes=lifetimes,
        groups=tuple(tuple(group.tensors) for group in groups),
        peak_layer=peak,
        lower_bound=_lower_bound(regions),
    )
