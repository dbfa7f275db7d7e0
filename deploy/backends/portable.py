# SPDX-License-Identifier: Apache-2.0
"""Kernels in C for every core: int8 weights in their natural order, any clamp."""

import numpy as np

from deploy.backends.backend import NULL, ByBackend, DepthwiseWindow, Product, Symbol

DEPTHWISE = Symbol("nb_depthwise_rows_any")


class Portable:
    """See :class:`deploy.backends.Backend`."""

    name = "portable"
    cores: tuple[str, ...] = ()
    widens_weights = False

    def product(self, product: Product) -> Symbol:
        """The kernels for any requantization have loops of their own."""
        return NULL

    def has_depthwise(self, window: DepthwiseWindow) -> bool:
        """One function for all windows."""
        return False

    def depthwise(self, window: DepthwiseWindow, *, single: bool) -> Symbol:
        """With any requantization."""
        return DEPTHWISE

    def clamps(self, kernel: str, loop: Symbol | ByBackend[Symbol] | None) -> bool:
        """All do."""
        return True

    def product_scratch(self, depth: int, *, pixels: int, gathered: bool) -> int:
        """One patch."""
        return -(-depth // 4) * 4 if gathered else 0

    def depthwise_scratch(self, rows: int, row_stride: int) -> int:
        """Four channels' planes of int16."""
        return 4 * rows * row_stride * 2

    def pack_weights(self, rows: np.ndarray, depth: int) -> np.ndarray:
        """As they are."""
        return rows.reshape(-1)

    def saved_by_int16(self, macs: int, *, pixels: int) -> float:
        """Nothing."""
        return 0.0


PORTABLE = Portable()
