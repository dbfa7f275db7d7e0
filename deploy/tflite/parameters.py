# SPDX-License-Identifier: Apache-2.0
"""The kernels' parameters, field by field as the structs of ``nb_kernels.h`` have them.

What each field means stands there. The rings, ``in_`` and ``out``, depend on the schedule: they are
None before it is known.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

from deploy.backends import ByBackend, Symbol
from deploy.tflite.values import Constant, Requantization, Ring

Ints = tuple[int, ...]
Function = Symbol | ByBackend[Symbol]


Rings = tuple[Ring, ...]


@dataclass(frozen=True)
class ElementwiseOp:
    """``nb_elementwise``."""

    function: Symbol
    multiplier: Ints
    zero_point: Ints
    shift: Ints
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Params:
    """What every kernel's parameters have.

    Attributes:
        STRUCT: the C type.
    """

    STRUCT: ClassVar[str]

    def items(self) -> list[tuple[str, object]]:
        """The fields by their names in C, in the order of the generated code, without those that
        are not known."""
        values = ((f.name.rstrip("_"), getattr(self, f.name)) for f in fields(self))
        return [(name, value) for name, value in values if value is not None]


@dataclass(frozen=True)
class Conv1x1Params(Params):
    """``nb_conv_1x1_params``."""

    STRUCT: ClassVar[str] = "nb_conv_1x1_params"
    weights: Constant
    requantization: Requantization
    gemm: Function
    width: int
    in_c: int
    out_c: int
    pitch: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class ConvParams(Params):
    """``nb_conv_params``."""

    STRUCT: ClassVar[str] = "nb_conv_params"
    weights: Constant
    requantization: Requantization
    gemm: Function
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    pitch: int
    group_c: int
    input_zero_point: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class DepthwiseConvParams(Params):
    """``nb_depthwise_conv_params``."""

    STRUCT: ClassVar[str] = "nb_depthwise_conv_params"
    weights: Constant
    requantization: Requantization
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    pitch: int
    input_zero_point: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    rows: int
    row_stride: int
    function: Function
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class DepthwiseConvMultiplierParams(Params):
    """``nb_depthwise_conv_multiplier_params``."""

    STRUCT: ClassVar[str] = "nb_depthwise_conv_multiplier_params"
    weights: Constant
    requantization: Requantization
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    pitch: int
    input_zero_point: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    out_c: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class FullyConnectedParams(Params):
    """``nb_fully_connected_params``."""

    STRUCT: ClassVar[str] = "nb_fully_connected_params"
    weights: Constant
    requantization: Requantization
    gemm: Function
    batch: int
    in_c: int
    out_c: int


@dataclass(frozen=True)
class WeightedSumParams(Params):
    """``nb_weighted_sum_params``."""

    STRUCT: ClassVar[str] = "nb_weighted_sum_params"
    row: int
    factor: Ints
    offset: int
    in_: Rings | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class AddParams(Params):
    """``nb_add_params``."""

    STRUCT: ClassVar[str] = "nb_add_params"
    row: int
    multiplier: Ints
    zero_point: Ints
    shift: Ints
    minimum: int
    maximum: int
    in_: Rings | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class MeanParams(Params):
    """``nb_mean_params``."""

    STRUCT: ClassVar[str] = "nb_mean_params"
    pixels: int
    channels: int
    offset: int
    multiplier: int
    shift: int
    zero_point: int


@dataclass(frozen=True)
class PoolParams(Params):
    """``nb_pool_params``."""

    STRUCT: ClassVar[str] = "nb_pool_params"
    in_h: int
    in_w: int
    channels: int
    out_h: int
    out_w: int
    pitch: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    minimum: int
    maximum: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class PadParams(Params):
    """``nb_pad_params``."""

    STRUCT: ClassVar[str] = "nb_pad_params"
    in_shape: Ints
    out_shape: Ints
    before: Ints
    value: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class LookupParams(Params):
    """``nb_lookup_params``."""

    STRUCT: ClassVar[str] = "nb_lookup_params"
    table: Constant
    row: int
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class ElementwiseParams(Params):
    """``nb_elementwise_params``."""

    STRUCT: ClassVar[str] = "nb_elementwise_params"
    op: ElementwiseOp
    row: int
    in_: Rings | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class ElementwiseConstantParams(Params):
    """``nb_elementwise_constant_params``."""

    STRUCT: ClassVar[str] = "nb_elementwise_constant_params"
    op: ElementwiseOp
    constant: Constant
    position: int
    row_step: int
    shape: Ints
    step: Ints
    in_: Ring | None = None
    out: Ring | None = None


@dataclass(frozen=True)
class ElementwiseBroadcastParams(Params):
    """``nb_elementwise_broadcast_params``."""

    STRUCT: ClassVar[str] = "nb_elementwise_broadcast_params"
    op: ElementwiseOp
    shape: Ints
    step: tuple[Ints, ...]


@dataclass(frozen=True)
class GatherParams(Params):
    """``nb_gather_params``."""

    STRUCT: ClassVar[str] = "nb_gather_params"
    start: int
    shape: Ints
    step: Ints


@dataclass(frozen=True)
class ConcatenationParams(Params):
    """``nb_concatenation_params``."""

    STRUCT: ClassVar[str] = "nb_concatenation_params"
    runs: Constant
    inputs: int
    blocks: int
    block: int


@dataclass(frozen=True)
class ResizeNearestParams(Params):
    """``nb_resize_nearest_params``."""

    STRUCT: ClassVar[str] = "nb_resize_nearest_params"
    places: Constant
    in_w: int
    channels: int
    out_h: int
    out_w: int
    pitch: int


@dataclass(frozen=True)
class ResizeBilinearParams(Params):
    """``nb_resize_bilinear_params``."""

    STRUCT: ClassVar[str] = "nb_resize_bilinear_params"
    lower: Constant
    upper: Constant
    fraction: Constant
    in_w: int
    channels: int
    out_h: int
    out_w: int
    pitch: int


@dataclass(frozen=True)
class SoftmaxParams(Params):
    """``nb_softmax_params``."""

    STRUCT: ClassVar[str] = "nb_softmax_params"
    exponentials: Constant
    rows: int
    depth: int


DepthwiseParams = DepthwiseConvParams | DepthwiseConvMultiplierParams

PitchedParams = (
    Conv1x1Params
    | ConvParams
    | DepthwiseConvParams
    | DepthwiseConvMultiplierParams
    | PoolParams
    | ResizeNearestParams
    | ResizeBilinearParams
)
"""Of kernels that write pixels that lie apart."""

ElementsParams = WeightedSumParams | AddParams | LookupParams | ElementwiseParams
"""Of kernels that go by rows of elements, and have a variant that goes by pixels."""

OneRingParams = (
    Conv1x1Params
    | ConvParams
    | DepthwiseConvParams
    | DepthwiseConvMultiplierParams
    | PoolParams
    | PadParams
    | LookupParams
    | ElementwiseConstantParams
)
"""Of kernels that compute some rows from one ring."""

TwoRingsParams = WeightedSumParams | AddParams | ElementwiseParams
"""The same with a ring for either operand."""

ProductParams = Conv1x1Params | ConvParams | FullyConnectedParams
"""Of matrix products."""
