# SPDX-License-Identifier: Apache-2.0
"""Which TFLite padding reproduces a torch window exactly.

TFLite knows two paddings. VALID pads nothing. SAME gives ceil(size / stride) outputs and pads
``max((outputs - 1) * stride + extent - size, 0)`` zeros, half of them (rounded down) before. Torch
pads any number on each side. A window that fits neither may still fit SAME after its kernel has
grown by zeros at its end: a symmetric 3x3 at stride 2 on an even size is exactly a 4x4 under SAME.
"""

from dataclasses import dataclass

from deploy.tflite.schema import Padding

SAME, VALID = Padding.SAME, Padding.VALID
_MOST_ZEROS = 2  # rows or columns of zeros that a kernel may grow by in each direction


@dataclass(frozen=True)
class PaddedWindow:
    """A sliding window along one axis, in pixels; ``before`` and ``after`` are zeros padded."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def extent(self) -> int:
        """Pixels from the first to the last tap of the kernel."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        """Number of window positions (0 or less: the image is too small)."""
        return (self.size + self.before + self.after - self.extent) // self.stride + 1


@dataclass(frozen=True)
class PaddingFit:
    """A TFLite padding, and the zeros (before, after) that the kernel grows by on each axis."""

    padding: int
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)

    @property
    def grows(self) -> bool:
        """True if the kernel must be extended."""
        return self.rows != (0, 0) or self.columns != (0, 0)


def same_padding(size: int, extent: int, stride: int) -> tuple[int, int]:
    """Zeros (before, after) that TFLite's SAME pads along one axis."""
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def fit_padding(height: PaddedWindow, width: PaddedWindow, *, growable: bool) -> PaddingFit | None:
    """The padding under which TFLite computes the same windows, or None: a PAD is needed.

    Args:
        height, width: the window as torch has it.
        growable: the kernel may be extended by zeros (convolutions yes, pooling no).
    """
    # Zeros after the last window's end change nothing, so only the start and the count matter.
    if all(
        w.before == 0 and w.outputs == (w.size - w.extent) // w.stride + 1 for w in (height, width)
    ):
        return PaddingFit(VALID)
    rows, columns = _grow_to_same(height, growable), _grow_to_same(width, growable)
    if rows is None or columns is None:
        return None
    return PaddingFit(SAME, rows, columns)


def _grow_to_same(window: PaddedWindow, growable: bool) -> tuple[int, int] | None:
    """Fewest zeros (before, after) by which the kernel must grow to be what SAME computes."""
    if window.outputs != -(-window.size // window.stride):
        return None
    for total in range((_MOST_ZEROS if growable else 0) + 1):
        for before in range(total + 1):
            extent = window.extent + total * window.dilation
            shift = window.before + before * window.dilation
            if same_padding(window.size, extent, window.stride)[0] == shift:
                return before, total - before
    return None
