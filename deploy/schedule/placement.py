# SPDX-License-Identifier: Apache-2.0
"""Offsets in the arena for buffers that are needed at different times."""

import random
from collections.abc import Sequence

import numpy as np

from deploy.schedule.occupancy import Buffer

SHUFFLES = 100

Forbidden = dict[tuple[int, int], tuple[int, int]]


def forbidden_distances(buffers: Sequence[Buffer]) -> Forbidden:
    """For pairs (a, b) that meet: b's offset less a's must be <= the first or >= the second.

    At every step the bytes of b that are needed must end where those of a begin, or the other way
    round; the same way round at all steps. A buffer that a layer writes in place of another may
    take the bytes that this layer is the last to read.
    """
    found: Forbidden = {}
    for b, second in enumerate(buffers):
        for a, first in enumerate(buffers[:b]):
            start, end = max(first.start, second.start), min(first.end, second.end)
            if start >= end:
                continue
            x, y = (
                slice(start - first.start, end - first.start),
                slice(start - second.start, end - second.start),
            )
            meet = (first.high[x] > first.low[x]) & (second.high[y] > second.low[y])
            if not meet.any():
                continue
            # Only the output of an in-place layer may have what that layer reads for the last time.
            low_a = first.low_after if first.takers & set(second.places) else first.low
            low_b = second.low_after if second.takers & set(first.places) else second.low
            below = np.where(meet, low_a[x] - second.high[y], np.iinfo(np.int64).max)
            above = np.where(meet, first.high[x] - low_b[y], np.iinfo(np.int64).min)
            found[a, b] = (int(below.min()), int(above.max()))
    return found


def most_needed(buffers: Sequence[Buffer], steps: int) -> tuple[int, int]:
    """(bytes, step) where the sum of what is needed is largest."""
    total = needed_bytes(buffers, steps)
    return int(total.max()), int(total.argmax())


def needed_bytes(buffers: Sequence[Buffer], steps: int) -> np.ndarray:
    """The sum of what is needed, step by step."""
    total = np.zeros(max(steps, 1), np.int64)
    for buffer in buffers:
        total[buffer.start : buffer.end] += np.maximum(
            buffer.high - np.maximum(buffer.low, buffer.low_after), 0
        )
    return total


def _place(sizes: Sequence[int], near: Sequence[dict[int, tuple[int, int]]],
           order: Sequence[int]) -> tuple[int, list[int]]:  # fmt: skip
    """Buffers in ``order``, each at the lowest multiple of 4 that is allowed."""
    offsets = [-1] * len(sizes)
    top = 0
    for number in order:
        blocked = []
        for other, (low, high) in near[number].items():
            if offsets[other] >= 0:
                blocked.append((offsets[other] + low, offsets[other] + high))
        blocked.sort()
        position = 0
        for start, end in blocked:
            if start < position < end:
                position = max(position, -(-end // 4) * 4)
        offsets[number] = position
        top = max(top, position + sizes[number])
    return top, offsets


def place(buffers: Sequence[Buffer], bound: int) -> tuple[int, list[int]]:
    """Offsets for buffers so that no bytes that are needed are overwritten.

    Greedy placement in several orders, then in seeded variations of the best order until
    ``bound`` is reached. Deterministic.

    Returns:
        (bytes needed, offset of each buffer).
    """
    sizes = [buffer.bytes for buffer in buffers]
    near: list[dict[int, tuple[int, int]]] = [{} for _ in buffers]
    for (a, b), (low, high) in forbidden_distances(buffers).items():
        near[b][a] = (low, high)
        near[a][b] = (-high, -low)
    numbers = list(range(len(buffers)))
    spans = [len(buffer.low) for buffer in buffers]
    starts = [buffer.start for buffer in buffers]
    orders = [
        sorted(numbers, key=lambda n: (-sizes[n], starts[n], n)),
        sorted(numbers, key=lambda n: (-sizes[n] * spans[n], starts[n], n)),
        sorted(numbers, key=lambda n: (starts[n], -sizes[n], n)),
        sorted(numbers, key=lambda n: (-starts[n], -sizes[n], n)),
    ]
    best_top, best_offsets, best_order = -1, [0] * len(buffers), numbers
    for order in orders:
        top, offsets = _place(sizes, near, order)
        if best_top < 0 or top < best_top:
            best_top, best_offsets, best_order = top, offsets, order
    chooser = random.Random(0)
    for _ in range(SHUFFLES if len(buffers) > 1 else 0):
        if best_top <= bound:
            break
        order = list(best_order)
        a, b = chooser.sample(range(len(order)), 2)
        order.insert(b, order.pop(a))
        top, offsets = _place(sizes, near, order)
        if top <= best_top:
            best_top, best_offsets, best_order = top, offsets, order
    return max(best_top, 0), best_offsets
