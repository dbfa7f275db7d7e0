# SPDX-License-Identifier: Apache-2.0
"""What an operator becomes after lowering: one kernel call with its constants."""

from dataclasses import dataclass

from deploy.backends import BACKENDS
from deploy.tflite.parameters import (
    DepthwiseConvParams,
    DepthwiseParams,
    ElementsParams,
    Params,
    PitchedParams,
    ProductParams,
)
from deploy.tflite.values import Constant, Requantization


@dataclass(frozen=True)
class RowWindow:
    """Which input rows an output row needs, for layers that can compute some rows only.

    Output row y needs the input rows from ``y * stride - before``, ``extent`` of them; those
    outside of the input are padding.
    """

    stride: int = 1
    extent: int = 1
    before: int = 0


MAX_PITCH = 65535  # uint16_t in the kernels' parameters


@dataclass(frozen=True)
class Layer:
    """One kernel call.

    ``inputs`` and ``outputs`` are activation tensors. ``in_place`` lists the positions in
    ``inputs`` whose memory the output may take over when nothing else needs that input any more:
    starting at the same address, or before it unless ``in_place_exactly``. ``alias`` marks a layer
    without code whose output is its input's memory. ``scratch_bytes`` is needed only while the
    layer runs. ``rows`` is set where the kernel can compute a range of output rows. With
    ``input_array`` the kernel gets its inputs as one array of pointers.
    """

    operator: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: str = ""
    params: Params | None = None
    macs: int = 0
    scratch_bytes: int = 0
    in_place: tuple[int, ...] = ()
    in_place_exactly: bool = False
    alias: bool = False
    input_array: bool = False
    rows: RowWindow | None = None

    @property
    def requantization(self) -> Requantization | None:
        """Of a convolution or a fully connected layer."""
        if isinstance(self.params, ProductParams | DepthwiseParams):
            return self.params.requantization
        return None

    @property
    def symbol(self) -> str:
        """The C function: the kernel, or the one with a clamp where a backend's inner loop only
        saturates to int8."""
        r = self.requantization
        loop = self.params.function if isinstance(self.params, DepthwiseConvParams) else None
        if r is None or r.saturates or all(b.clamps(self.kernel, loop) for b in BACKENDS):
            return self.kernel
        return self.kernel.replace("_s8", "_clamped_s8")

    @property
    def by_elements(self) -> bool:
        """Whether the kernel goes by rows of elements, and one with ``_pixels`` by pixels."""
        return isinstance(self.params, ElementsParams)

    def takes_pitch(self, pitch: int) -> bool:
        """Whether the kernel can write pixels that lie ``pitch`` bytes apart."""
        return isinstance(self.params, PitchedParams | ElementsParams) and pitch <= MAX_PITCH

    def constants(self) -> list[tuple[str, Constant]]:
        """The constant arrays of the layer by field name, in a fixed order."""
        found: list[tuple[str, Constant]] = []
        for key, value in self.params.items() if self.params is not None else ():
            if isinstance(value, Constant):
                found.append((key, value))
            elif isinstance(value, Requantization):
                found.append(("channels", value.channels))
        return found

    def bytes_of(self, kind: str) -> int:
        """Flash bytes of the layer's constants of one kind."""
        return sum(c.nbytes for _, c in self.constants() if c.kind == kind)
