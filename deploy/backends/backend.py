# SPDX-License-Identifier: Apache-2.0
"""What a backend answers, and how the answers of all of them stand in one generated C."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

T = TypeVar("T")

C_CONDITION = "NB_DSP"
"""What ``nb_backend.h`` defines where the fast backend's kernels run."""

C_CHOICE = "NB_INNER_LOOP"
"""Its macro that takes one of two values."""


@dataclass(frozen=True)
class Symbol:
    """A name of the firmware's C: a function, or a constant."""

    name: str


NULL = Symbol("0")
"""No function."""


@dataclass(frozen=True)
class ByBackend(Generic[T]):
    """A value that differs by backend: what V7EM takes, and what all other cores take."""

    fast: T
    portable: T


@dataclass(frozen=True)
class Product:
    """A matrix product, as far as its inner loop depends on it.

    Attributes:
        depth: values a pixel.
        fast: its requantization is of the kind that inner loops take.
        single: it rounds once.
        int16: its weights are int16.
        pixels: that one pass makes: 4, or 1.
    """

    depth: int
    fast: bool
    single: bool
    int16: bool = False
    pixels: int = 4


@dataclass(frozen=True)
class DepthwiseWindow:
    """A depthwise convolution, as far as its inner loop depends on it.

    Attributes:
        kernel, dilation: (vertical, horizontal).
        stride: horizontal.
    """

    kernel: tuple[int, int]
    stride: int
    dilation: tuple[int, int]


@dataclass(frozen=True)
class Costs:
    """Rough instruction counts, to within some tens of percent.

    Attributes:
        call: around one call of a layer for some rows.
        mac: of the inner loops.
        output: to requantize and store an element.
        add: to add two elements.
        copy: to widen an element for the depthwise kernel.
        channel: to set up the depthwise inner loop for some rows of a channel,
        tap: with each of its taps.
        planes: to set up a depthwise convolution.
        row: around an output row of a channel.
    """

    call: float
    mac: float
    output: float
    add: float
    copy: float
    channel: float
    tap: float
    planes: float
    row: float


class Backend(Protocol):
    """A kind of cores and the kernels that they run.

    Attributes:
        name: the folder below ``firmware/kernels``.
        cores: as target files name them; none where it is for all others.
        widens_weights: whether weights as int16 save instructions.
    """

    name: str
    cores: tuple[str, ...]
    widens_weights: bool

    def product(self, product: Product) -> Symbol:
        """The inner loop of a matrix product; NULL where the kernel has its own."""

    def has_depthwise(self, window: DepthwiseWindow) -> bool:
        """Whether there is an inner loop for a window of its own, which takes sums 256 times as
        large."""

    def depthwise(self, window: DepthwiseWindow, *, single: bool) -> Symbol:
        """That inner loop; where there is none, the one for all windows.

        Args:
            single: it rounds once.
        """

    def clamps(self, kernel: str, loop: "Symbol | ByBackend[Symbol] | None") -> bool:
        """Whether a kernel clamps to any range; else it only saturates to int8, and a layer with a
        narrower clamp needs the kernel with ``_clamped``.

        Args:
            loop: the inner loop that the kernel is given for a depthwise convolution.
        """

    def product_scratch(self, depth: int, *, pixels: int, gathered: bool) -> int:
        """Bytes of scratch that a matrix product needs.

        Args:
            depth: values a pixel.
            pixels: that one pass makes.
            gathered: the pixels are patches that are copied first.
        """

    def depthwise_scratch(self, rows: int, row_stride: int) -> int:
        """Bytes of scratch of a depthwise convolution: its planes of padded rows."""

    def pack_weights(self, rows: np.ndarray, depth: int) -> np.ndarray:
        """Weights in the order in which the inner loop reads them.

        Args:
            rows: [channels, depth rounded up to 4], int8, or int16 where the backend widens
                them.
        """

    def saved_by_int16(self, macs: int, *, pixels: int) -> float:
        """Instructions of an inference that int16 weights save, roughly."""
