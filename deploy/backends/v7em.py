# SPDX-License-Identifier: Apache-2.0
"""Cores with DSP instructions, ARMv7E-M: inner loops in assembly, two products an instruction."""

import numpy as np

from deploy.backends.backend import NULL, ByBackend, Costs, DepthwiseWindow, Product, Symbol
from deploy.backends.portable import DEPTHWISE, PORTABLE

# Words of the depth: larger ones share a loop.
LONGEST_UNROLLED = 8
# Kernels with a variant in nb_clamped_s8.c.
SATURATING = ("nb_conv_1x1_s8", "nb_conv_s8", "nb_depthwise_conv_s8", "nb_fully_connected_s8")


class V7em:
    """See :class:`deploy.backends.Backend`."""

    name = "v7em"
    cores: tuple[str, ...] = ("cortex-m4", "cortex-m7")
    widens_weights = True
    # Of the kernels on Cortex-M4; the measured count is what the emulator says.
    costs: Costs = Costs(
        call=75, mac=0.86, output=6.5, add=7, copy=1.7, channel=30, tap=3.6, planes=400, row=15
    )

    def product(self, product: Product) -> Symbol:
        """By the words of the depth and what is left of them: see nb_gemm_function."""
        if not product.fast:
            return NULL
        suffix = "_single" if product.single else ""
        if product.pixels == 1:
            return Symbol(f"nb_gemm_1_int16{suffix}") if product.int16 else NULL
        rest = "_2" if product.depth % 4 in (1, 2) else ""
        fours = (product.depth + 1) // 4
        if product.int16:
            blocks = "_blocks" if fours > 4 else ""
            return Symbol(f"nb_gemm_{4 * ((fours - 1) % 4 + 1)}{blocks}{rest}_int16{suffix}")
        unrolled = f"_{4 * fours}" if fours <= LONGEST_UNROLLED else ""
        return Symbol(f"nb_gemm{unrolled}{rest}{suffix}")

    def has_depthwise(self, window: DepthwiseWindow) -> bool:
        """Square kernels of 3, 5 and 7 without dilation."""
        height, width = window.kernel
        square = height == width and height in (3, 5, 7)
        return square and window.stride in (1, 2) and window.dilation == (1, 1)

    def depthwise(self, window: DepthwiseWindow, *, single: bool) -> Symbol:
        """By kernel and stride."""
        if not self.has_depthwise(window):
            return PORTABLE.depthwise(window, single=single)
        suffix = "_single" if single else ""
        return Symbol(f"nb_depthwise_rows_{window.kernel[0]}_{window.stride}{suffix}")

    def clamps(self, kernel: str, loop: Symbol | ByBackend[Symbol] | None) -> bool:
        """Those that do not run an inner loop of its own."""
        return kernel not in SATURATING or loop == DEPTHWISE

    def product_scratch(self, depth: int, *, pixels: int, gathered: bool) -> int:
        """The pixels as int16, and before that the patches."""
        padded = -(-depth // 4) * 4
        return pixels * padded * (3 if gathered else 2)

    def depthwise_scratch(self, rows: int, row_stride: int) -> int:
        """The same planes, 256 times as large in value alone."""
        return PORTABLE.depthwise_scratch(rows, row_stride)

    def pack_weights(self, rows: np.ndarray, depth: int) -> np.ndarray:
        """int16: pairs (k, k+2) (k+1, k+3) for each 4 values, (k, k+1) for one or two at the end;
        int8 stay in their order, which SXTB16 takes."""
        if rows.dtype == np.int8:
            return rows.reshape(-1)
        channels = len(rows)
        rest = depth % 4 if depth % 4 in (1, 2) else 0
        whole = rows.shape[1] - (4 if rest else 0)
        ordered = rows[:, :whole].reshape(channels, -1, 4)[:, :, [0, 2, 1, 3]]
        ordered = ordered.reshape(channels, -1)
        if rest:
            ordered = np.concatenate([ordered, rows[:, whole : whole + 2]], axis=1)
        return np.ascontiguousarray(ordered).reshape(-1)

    def saved_by_int16(self, macs: int, *, pixels: int) -> float:
        """A product of four pixels widens a weight once for all of them."""
        return (0.11 if pixels == 4 else 0.5) * macs


V7EM = V7em()
