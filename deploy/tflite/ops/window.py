# SPDX-License-Identifier: Apache-2.0
"""Geometry that convolutions and poolings share."""

from dataclasses import dataclass

from deploy.tflite.ir import Graph, Operator, Tensor
from deploy.tflite.layer import RowWindow
from deploy.tflite.schema import Padding

SAME, VALID = Padding.SAME, Padding.VALID
MAX_DIMENSION = 65535


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis; all sizes in elements."""

    size: int
    stride: int
    dilation: int = 1

    @property
    def extent(self) -> int:
        """The input elements from the first tap to the last."""
        return (self.size - 1) * self.dilation + 1

    def output(self, length: int, padding: int) -> int:
        """How many output positions ``length`` input elements give; at most 0 where it is none."""
        if padding == SAME:
            return -(-length // self.stride)
        return (length - self.extent) // self.stride + 1

    def before(self, length: int, padding: int) -> int:
        """The padding in front of the input, as TFLite places it."""
        if padding == VALID:
            return 0
        total = (self.output(length, SAME) - 1) * self.stride + self.extent - length
        return max(total, 0) // 2

    def rows(self, before: int) -> RowWindow:
        """The window as what a stream of rows needs to know of it."""
        return RowWindow(self.stride, self.extent, before)


@dataclass(frozen=True)
class FoldedPad:
    """A PAD in front of a convolution that the convolution does itself: what it adds above and to
    the left, and the size of its output."""

    top: int
    left: int
    height: int
    width: int


def paddings_before(
    source: Tensor, padding: int, vertical: Window, horizontal: Window, folded: FoldedPad | None
) -> tuple[int, int]:
    """(rows above, columns to the left) of a convolution's input that are padding."""
    if folded is None:
        folded = FoldedPad(0, 0, source.shape[1], source.shape[2])
    return (
        folded.top + vertical.before(folded.height, padding),
        folded.left + horizontal.before(folded.width, padding),
    )


def check_window(
    graph: Graph, op: Operator, padding: int, vertical: Window, horizontal: Window
) -> None:
    """Refuse strides, dilations, kernels and padding that make no sense or have no kernel."""
    if padding not in (SAME, VALID):
        raise graph.error(op, f"padding {padding} is neither SAME (0) nor VALID (1)")
    for axis, window in (("vertical", vertical), ("horizontal", horizontal)):
        for what, value in (
            ("kernel", window.size), ("stride", window.stride), ("dilation", window.dilation)
        ):  # fmt: skip
            if not 1 <= value <= 255:
                raise graph.error(op, f"{axis} {what} {value} is outside 1..255")
    source = graph.input(op, 0)
    for length, window in ((source.shape[1], vertical), (source.shape[2], horizontal)):
        if window.output(length, padding) < 1:
            raise graph.error(
                op, f"a window of {window.extent} does not fit into {length} elements", 0
            )


def check_image(graph: Graph, op: Operator, tensor: Tensor, role: str) -> None:
    """Refuse what is not one NHWC image with dimensions that fit 16 bits."""
    if len(tensor.shape) != 4 or tensor.shape[0] != 1:
        raise graph.error(
            op,
            f"{role} {tensor.label} has shape {list(tensor.shape)}; "
            "one NHWC image [1, h, w, c] is needed",
        )
    if max(tensor.shape) > MAX_DIMENSION:
        raise graph.error(op, f"{role} {tensor.label} has a dimension above {MAX_DIMENSION}")


def window_shape(
    graph: Graph, op: Operator, padding: int, vertical: Window, horizontal: Window, channels: int
) -> tuple[int, ...]:
    """The NHWC output shape."""
    _, height, width, _ = graph.input(op, 0).shape
    return (1, vertical.output(height, padding), horizontal.output(width, padding), channels)
