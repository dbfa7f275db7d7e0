"""What an operator becomes after lowering: one kernel call with its constants."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Constant:
    """A constant array that goes to flash.

    ``kind`` says on which line of the flash table it counts: the weights' own bytes, or the tables
    of requantization and look-up. ``dsp`` takes the place of ``data`` on cores with DSP
    instructions.
    """

    data: np.ndarray
    kind: Literal["weights", "tables"]
    dsp: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in flash, on cores with DSP instructions."""
        return (self.data if self.dsp is None else self.dsp).nbytes


@dataclass(frozen=True)
class Requantization:
    """Per-channel constants of the fused bias, requantization and clamp (``nb_requantization``).

    Attributes:
        channels: laid out as the field ``fast`` says.
        fast, int16_weights, offset: what the field ``fast`` says; ``offset`` is None where sums are
            rounded twice, see deploy.tflite.single_rounding.
        magnitude: int64 [channels], an upper bound of abs(sum) over every possible input.
    """

    channels: Constant
    zero_point: int
    minimum: int
    maximum: int
    fast: bool
    magnitude: np.ndarray
    int16_weights: bool = False
    offset: int | None = None

    @property
    def suffix(self) -> str:
        """Of the inner loops that end in this."""
        return "" if self.offset is None else "_single"


@dataclass(frozen=True)
class RowWindow:
    """Which input rows an output row needs, for layers that can compute some rows only.

    Output row y needs the input rows from ``y * stride - before``, ``extent`` of them; those
    outside of the input are padding.
    """

    stride: int = 1
    extent: int = 1
    before: int = 0


# Words of the depth: larger ones share a loop.
LONGEST_UNROLLED = 8
# Kernels with a variant in nb_clamped_s8.c.
SATURATING = ("nb_conv_1x1_s8", "nb_conv_s8", "nb_depthwise_conv_s8", "nb_fully_connected_s8")
MAX_PITCH = 65535  # uint16_t in the kernels' parameters
PORTABLE_DEPTHWISE = "nb_depthwise_rows_any"

# A str is C of the kernels, such as a function.
FieldValue = int | str | Constant | Requantization | tuple["FieldValue", ...]


def inner_loop(fast: str, portable: str) -> str:
    """What a kernel runs inside, on cores with DSP instructions and on others."""
    return f"NB_INNER_LOOP({fast}, {portable})"


def gemm(depth: int, requant: Requantization) -> str:
    """The matrix product for ``depth`` values a pixel, at least 4: see nb_gemm_function."""
    rest = "_2" if depth % 4 in (1, 2) else ""
    fours = (depth + 1) // 4
    if requant.int16_weights:
        blocks = "_blocks" if fours > 4 else ""
        name = f"nb_gemm_{4 * ((fours - 1) % 4 + 1)}{blocks}{rest}_int16"
    else:
        name = "nb_gemm" + (f"_{4 * fours}" if fours <= LONGEST_UNROLLED else "") + rest
    return inner_loop(name + requant.suffix, "0")


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
    params_type: str = ""
    params: dict[str, FieldValue] = field(default_factory=dict)
    macs: int = 0
    scratch_bytes: int = 0
    in_place: tuple[int, ...] = ()
    in_place_exactly: bool = False
    alias: bool = False
    input_array: bool = False
    rows: RowWindow | None = None

    @property
    def symbol(self) -> str:
        """The C function: the kernel, or the one with a clamp where its own inner loop, on cores
        with DSP instructions, only saturates to int8."""
        r = self.params.get("requantization")
        if self.kernel not in SATURATING or not isinstance(r, Requantization):
            return self.kernel
        loop = self.params.get("function", "")
        clamps = (r.minimum, r.maximum) == (-128, 127) or loop == PORTABLE_DEPTHWISE
        return self.kernel if clamps else self.kernel.replace("_s8", "_clamped_s8")

    @property
    def by_elements(self) -> bool:
        """Whether the kernel goes by rows of elements, and one with ``_pixels`` by pixels."""
        return "row" in self.params

    def takes_pitch(self, pitch: int) -> bool:
        """Whether the kernel can write pixels that lie ``pitch`` bytes apart."""
        return ("pitch" in self.params or self.by_elements) and pitch <= MAX_PITCH

    def constants(self) -> list[tuple[str, Constant]]:
        """The constant arrays of the layer by field name, in a fixed order."""
        found: list[tuple[str, Constant]] = []
        for key, value in self.params.items():
            if isinstance(value, Constant):
                found.append((key, value))
            elif isinstance(value, Requantization):
                found.append(("channels", value.channels))
        return found

    def bytes_of(self, kind: str) -> int:
        """Flash bytes of the layer's constants of one kind."""
        return sum(c.nbytes for _, c in self.constants() if c.kind == kind)
