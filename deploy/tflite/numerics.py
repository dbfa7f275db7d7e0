# SPDX-License-Identifier: Apache-2.0
"""The interpreter's integer arithmetic, as it is prepared at compile time.

Everything here follows TFLite Micro's reference kernels bit for bit: double precision where they
use double, float32 where they use float.
"""

import math

import numpy as np

from deploy.tflite.ir import DType, Graph, Operator, Quantization, Tensor
from deploy.tflite.schema import ActivationFunctionType
from deploy.tflite.values import Constant, Requantization

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# A channel's first word is its bias, moved up by so many bits, and its shift; NB_CHANNELS_END.
_BIAS_PLACE, _CHANNELS_END = 6, 32

# Shifts to the left by more are undefined in the reference.
MAX_EXPONENT = 30

# Fused activation functions of the schema that have an integer meaning.
_ACTIVATIONS = (
    ActivationFunctionType.NONE,
    ActivationFunctionType.RELU,
    ActivationFunctionType.RELU_N1_TO_1,
    ActivationFunctionType.RELU6,
)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A real factor as (multiplier, exponent): real = multiplier * 2**(exponent - 31).

    The multiplier lies in [2**30, 2**31) or is 0.
    """
    if real == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    # round() in C goes away from zero at a tie, Python's to even; real is never negative here.
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        exponent += 1
    if exponent < -31:
        return 0, 0
    return multiplier, exponent


def round_away(value: float) -> int:
    """C's round(): to nearest, ties away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def activation_range(activation: int, quantization: Quantization) -> tuple[int, int]:
    """The clamp (minimum, maximum) of an int8 output with a fused activation."""
    low, high = -128, 127
    scale = np.float32(quantization.scales[0])
    zero_point = quantization.zero_points[0]

    def quantize(real: float) -> int:
        return zero_point + round_away(float(np.float32(real) / scale))

    if activation in (ActivationFunctionType.RELU, ActivationFunctionType.RELU6):
        low = max(low, quantize(0.0))
    if activation == ActivationFunctionType.RELU6:
        high = min(high, quantize(6.0))
    if activation == ActivationFunctionType.RELU_N1_TO_1:
        low, high = max(low, quantize(-1.0)), min(high, quantize(1.0))
    return low, high


def check_activation(graph: Graph, op: Operator, activation: int) -> None:
    """Refuse a fused activation that the integer kernels do not have."""
    if activation not in _ACTIVATIONS:
        raise graph.error(
            op,
            f"fused activation {activation} is not supported; "
            "use none, RELU, RELU6 or RELU_N1_TO_1",
        )
    scale = require_int8(graph, op, graph.output(op), "output").scales[0]
    if activation and 6.0 / scale > INT32_MAX:
        raise graph.error(op, f"output scale {scale:g} is too small for its fused activation")


def require_int8(graph: Graph, op: Operator, tensor: Tensor, role: str) -> Quantization:
    """The per-tensor quantization of an int8 activation; DeployError where it has none."""
    if tensor.dtype is DType.FLOAT32:
        raise graph.error(
            op,
            f"{role} {tensor.label} is float32; quantize the model to int8 before compiling",
        )
    if tensor.dtype is not DType.INT8:
        raise graph.error(
            op, f"{role} {tensor.label} is {tensor.dtype.numpy}; only int8 is supported here"
        )
    if tensor.quantization is None or len(tensor.quantization.scales) != 1:
        raise graph.error(
            op, f"{role} {tensor.label} has no per-tensor quantization; export the model again"
        )
    return tensor.quantization


def require_constant(graph: Graph, op: Operator, tensor: Tensor, role: str) -> np.ndarray:
    """The data of a constant tensor; DeployError where it is computed at run time."""
    if tensor.data is None:
        raise graph.error(op, f"{role} {tensor.label} must be a constant of the model")
    return tensor.data


def convolution_multipliers(
    graph: Graph, op: Operator, weights: Tensor, channels: int, axis: int
) -> list[tuple[int, int]]:
    """(multiplier, exponent) of each output channel of a convolution-like operator."""
    source = require_int8(graph, op, graph.input(op, 0), "input")
    target = require_int8(graph, op, graph.output(op), "output")
    quantization = weights.quantization
    if weights.dtype is not DType.INT8 or quantization is None:
        raise graph.error(op, f"weights {weights.label} must be quantized int8")
    scales = quantization.scales
    if len(scales) not in (1, channels):
        raise graph.error(
            op, f"weights {weights.label} have {len(scales)} scales for {channels} channels"
        )
    if len(scales) > 1 and quantization.axis != axis:
        raise graph.error(
            op, f"weights {weights.label} are quantized along axis {quantization.axis}, not {axis}"
        )
    if any(quantization.zero_points):
        raise graph.error(op, f"weights {weights.label} have a zero point; it must be 0")
    factors = [source.scales[0] * scale / target.scales[0] for scale in scales]
    found = [quantize_multiplier(factor) for factor in factors]
    if any(exponent > MAX_EXPONENT for _, exponent in found):
        raise graph.error(
            op,
            f"output scale {target.scales[0]:g} is too small for input scale "
            f"{source.scales[0]:g} and its weights' scales; calibrate again",
        )
    return found * channels if len(found) == 1 else found


def int32_wrap(values: np.ndarray) -> np.ndarray:
    """int64 values reduced to int32 by wrapping, as accumulators do."""
    return (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def requantization(
    bias: np.ndarray,
    magnitude: np.ndarray,
    multipliers: list[tuple[int, int]],
    zero_point: int,
    clamp: tuple[int, int],
    *,
    ended: bool,
) -> Requantization:
    """Pack bias, multiplier and shift of every channel, and choose the fast path where it is exact.

    Args:
        bias: int64 [channels], the input's zero point already folded in.
        magnitude: int64 [channels], an upper bound of |accumulator| over every possible input.
        multipliers: (multiplier, exponent) of every channel.
        zero_point: of the output.
        clamp: (minimum, maximum) of the output.
        ended: the fast path needs a mark behind the last channel.

    The fast path needs a right shift of at least 1, sums that cannot overflow and biases of 26
    bits, which share a word with the shift; every channel must allow it. A channel whose
    multiplier is 0 has the result ``zero_point`` whatever its accumulator is; the general path
    treats it.
    """
    fast = True
    channels = np.zeros((len(multipliers), 3), np.int32)
    channels[:, 0] = int32_wrap(bias)
    for channel, (multiplier, exponent) in enumerate(multipliers):
        # Twice the multiplier, modulo 2**32: what one SMMLAR needs (see nb_requantize_fast).
        channels[channel, 1] = int32_wrap(np.array([2 * multiplier], np.int64))[0]
        channels[channel, 2] = shift = -exponent
        largest = (int(magnitude[channel]) * multiplier >> 31) + 1
        fast &= (
            multiplier >= 2**30
            and 1 <= shift <= 24
            and int(magnitude[channel]) <= INT32_MAX
            and bias_fits(bias[channel : channel + 1])
            # The kernels keep twice the rounding constant in a register.
            and (2 * abs(zero_point) + 1) << shift <= INT32_MAX
            and largest + (1 << shift >> 1) + (abs(zero_point) << shift) <= INT32_MAX
        )
    flat = channels.reshape(-1)
    if fast:
        flat = pack_channels(bias, channels[:, 2], channels[:, 1], ended=ended)
    return Requantization(Constant(flat, "tables"), zero_point, *clamp, fast, magnitude)


def bias_fits(bias: np.ndarray) -> bool:
    """Whether int64 biases fit into the 26 bits that the fast path has for them."""
    return bool(np.all((bias >= -(2**25)) & (bias < 2**25)))


def pack_channels(
    bias: np.ndarray, shift: np.ndarray, multiplier: np.ndarray, *, ended: bool
) -> np.ndarray:
    """``nb_requantization.channels`` of the fast path, int32.

    Args:
        bias: int64 [channels], of 26 bits.
        shift: to the right, 1..24.
        multiplier: as the kernel takes it.
        ended: with the mark behind the last channel.
    """
    assert bias_fits(bias)
    words = np.stack([int32_wrap((bias << _BIAS_PLACE) + shift), multiplier], axis=1).reshape(-1)
    end = np.array([_CHANNELS_END], np.int32)[: int(ended)]
    return np.concatenate([words, end]).astype(np.int32)


def unpack_channels(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias, shift and multiplier, int64, of what :func:`pack_channels` made."""
    words = packed[: len(packed) // 2 * 2].reshape(-1, 2).astype(np.int64)
    return words[:, 0] >> _BIAS_PLACE, words[:, 0] & 31, words[:, 1]
