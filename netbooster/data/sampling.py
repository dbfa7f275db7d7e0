# SPDX-License-Identifier: Apache-2.0
"""Random numbers and orders that depend only on (seed, step), so that a resumed run repeats."""

from collections import OrderedDict

import numpy as np


def generator(*key: int) -> np.random.Generator:
    """A generator that depends on ``key`` alone (non-negative integers)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def shard_slice(shard: tuple[int, int], items: int) -> slice:
    """The part of ``items`` that belongs to process ``shard[0]`` of ``shard[1]``.

    Parts follow one another and differ by one item at most.
    """
    rank, size = shard
    return slice(rank * items // size, (rank + 1) * items // size)


class EpochShuffle:
    """An endless shuffled order of ``size`` items with random access.

    Position p lies in epoch ``p // size``; each epoch is a permutation drawn from (seed, epoch).
    Batches run across the border of two epochs, so every batch is full and every item is seen
    exactly once in an epoch.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._orders: OrderedDict[int, np.ndarray] = OrderedDict()

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders[epoch] = generator(self._seed, epoch).permutation(self._size)
            # Two are enough for a batch that lies across a border.
            while len(self._orders) > 2:
                self._orders.popitem(last=False)
        return self._orders[epoch]

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """Item indices int64 [batch_size] of batch number ``step``."""
        positions = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)
        epochs = positions // self._size
        picked = np.empty(batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            where = epochs == epoch
            picked[where] = self._order(int(epoch))[positions[where] % self._size]
        return picked
