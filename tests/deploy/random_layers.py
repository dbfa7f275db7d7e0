# SPDX-License-Identifier: Apache-2.0
"""Random layers of the operators that image nets are made of, with hard parameters."""

import numpy as np
from tflite_builder import INT32, Builder

Rng = np.random.Generator
RELU6_SCALE = 6 / 255


def any_scale(rng: Rng) -> float:
    """A scale over three decades."""
    return float(np.float32(10 ** rng.uniform(-3, 0)))


def any_zero_point(rng: Rng) -> int:
    """A zero point, often an extreme one."""
    return int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))


def any_activation(rng: Rng) -> int:
    return int(rng.choice([0, 0, 1, 3, 3]))


def any_out_scale(rng: Rng, in_scale: float, weight_scale: float, taps: int) -> float:
    """An output scale that gives anything from saturation to almost constant outputs.

    TFLM refuses scales so small that 6 / scale does not fit 32 bits, and is not defined where the
    multiplier is above 2**30.
    """
    lowest = max(1e-7, in_scale * weight_scale * 2.0**-24)
    return max(min(_any_out_scale(rng, in_scale, weight_scale, taps), 1e9), lowest)


def _any_out_scale(rng: Rng, in_scale: float, weight_scale: float, taps: int) -> float:
    typical = in_scale * weight_scale * np.sqrt(taps) * 60
    kind = rng.integers(6)
    if kind == 0:
        return RELU6_SCALE
    if kind == 1:  # an effective multiplier around or above 1: shifts to the left
        return float(np.float32(in_scale * weight_scale * 10 ** rng.uniform(-1.5, 0.5)))
    if kind == 2:  # a very small multiplier
        return float(np.float32(typical * 10 ** rng.uniform(1, 6)))
    return float(np.float32(typical * 10 ** rng.uniform(-0.5, 1)))


def any_weights(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    kind = rng.integers(4)
    if kind == 0:
        return rng.choice(np.array([-127, 127], np.int8), shape)
    if kind == 1:
        return np.clip(rng.normal(0, 12, shape), -127, 127).astype(np.int8)
    return rng.integers(-127, 128, shape, dtype=np.int8)


def any_bias(rng: Rng, channels: int, taps: int) -> np.ndarray:
    spread = float(rng.choice([0, 100, 30 * 127 * np.sqrt(taps), 2.0**26]))
    return rng.normal(0, spread, channels).astype(np.int64).astype(np.int32)


def any_weight_scales(rng: Rng, channels: int) -> np.ndarray:
    base = 10 ** rng.uniform(-4, -1)
    if rng.integers(3) == 0:
        return np.full(1, base, np.float32)
    return (base * 10 ** rng.uniform(-1, 1, channels)).astype(np.float32)


def weight_scales(rng: Rng, channels: int, relu: bool) -> np.ndarray:
    if relu:
        return (0.01 * rng.uniform(0.5, 2, channels)).astype(np.float32)
    return any_weight_scales(rng, channels)


def output_quantization(
    rng: Rng, in_scale: float, scales: np.ndarray, taps: int, relu: bool
) -> tuple[float, int, int]:
    """(scale, zero point, activation); with ``relu`` like those of a trained net behind ReLU."""
    if relu:
        typical = in_scale * float(scales.mean()) * np.sqrt(taps) * 60
        scale = float(np.float32(typical * rng.uniform(0.2, 2)))
        return scale, -128, int(rng.choice([1, 3]))
    scale = any_out_scale(rng, in_scale, float(scales.mean()), taps)
    return scale, any_zero_point(rng), any_activation(rng)


def convolution(
    b: Builder, rng: Rng, source: int, *, pointwise: bool = False, relu: bool = False
) -> int:
    """CONV_2D on a tensor; returns its output."""
    _, height, width, depth = b.tensors[source].shape
    padding = int(rng.integers(2))
    stride_h, stride_w = (int(rng.integers(1, 4)) for _ in range(2))
    dilation_h = dilation_w = 1
    if pointwise:
        kernel_h = kernel_w = stride_h = stride_w = 1
    else:
        kernel_h, kernel_w = int(rng.integers(1, 6)), int(rng.integers(1, 6))
        if rng.integers(5) == 0:
            dilation_h, dilation_w = int(rng.integers(1, 3)), int(rng.integers(1, 3))
            stride_h = stride_w = 1
    if (kernel_h - 1) * dilation_h >= height or (kernel_w - 1) * dilation_w >= width:
        padding = 0
    channels = int(rng.integers(1, 25))
    groups = depth if rng.integers(8) == 0 and not pointwise else 1
    channels = -(-channels // groups) * groups
    taps = kernel_h * kernel_w * depth // groups
    scales = weight_scales(rng, channels, relu)
    in_scale = float(b.tensors[source].quantization.scale[0])
    shape = (channels, kernel_h, kernel_w, depth // groups)
    weights = b.tensor(shape, scales, data=any_weights(rng, shape), axis=0)
    inputs = [source, weights]
    if rng.integers(4):
        bias = any_bias(rng, channels, taps)
        inputs.append(b.tensor((channels,), in_scale * scales, data=bias, dtype=INT32))
    out_scale, zero_point, activation = output_quantization(rng, in_scale, scales, taps, relu)
    out_h, out_w = window_shape(height, width, kernel_h, kernel_w, stride_h, stride_w, padding,
                           dilation_h, dilation_w)  # fmt: skip
    output = b.tensor((1, out_h, out_w, channels), out_scale, zero_point)
    b.operator("CONV_2D", inputs, [output], "Conv2DOptions", padding=padding, strideH=stride_h,
               strideW=stride_w, dilationHFactor=dilation_h, dilationWFactor=dilation_w,
               fusedActivationFunction=activation)  # fmt: skip
    return output


def pointwise(b: Builder, rng: Rng, source: int, *, relu: bool = False) -> int:
    """A 1x1 convolution."""
    return convolution(b, rng, source, pointwise=True, relu=relu)


def depthwise(b: Builder, rng: Rng, source: int, *, relu: bool = False) -> int:
    """DEPTHWISE_CONV_2D on a tensor; returns its output."""
    _, height, width, depth = b.tensors[source].shape
    padding = int(rng.integers(2))
    kernel_h = kernel_w = int(rng.choice([3, 3, 5, 7, 1, 2, 4]))
    if rng.integers(4) == 0:
        kernel_h = int(rng.integers(1, 8))
    stride_h = stride_w = int(rng.choice([1, 1, 2, 2, 3]))
    dilation = 1
    if rng.integers(6) == 0:
        dilation, stride_h, stride_w = 2, 1, 1
    elif rng.integers(6) == 0:
        stride_h = int(rng.integers(1, 4))
    if (kernel_h - 1) * dilation >= height or (kernel_w - 1) * dilation >= width:
        padding = 0
    multiplier = int(rng.integers(2, 4)) if rng.integers(5) == 0 else 1
    channels = depth * multiplier
    scales = weight_scales(rng, channels, relu)
    in_scale = float(b.tensors[source].quantization.scale[0])
    shape = (1, kernel_h, kernel_w, channels)
    weights = b.tensor(shape, scales, data=any_weights(rng, shape), axis=3)
    inputs = [source, weights]
    if rng.integers(4):
        bias = any_bias(rng, channels, kernel_h * kernel_w)
        inputs.append(b.tensor((channels,), in_scale * scales, data=bias, dtype=INT32))
    taps = kernel_h * kernel_w
    out_scale, zero_point, activation = output_quantization(rng, in_scale, scales, taps, relu)
    out_h, out_w = window_shape(height, width, kernel_h, kernel_w, stride_h, stride_w, padding,
                           dilation, dilation)  # fmt: skip
    output = b.tensor((1, out_h, out_w, channels), out_scale, zero_point)
    b.operator("DEPTHWISE_CONV_2D", inputs, [output], "DepthwiseConv2DOptions", padding=padding,
               strideH=stride_h, strideW=stride_w, depthMultiplier=multiplier,
               dilationHFactor=dilation, dilationWFactor=dilation,
               fusedActivationFunction=activation)  # fmt: skip
    return output


def window_shape(
    height: int, width: int, kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
    padding: int, dilation_h: int, dilation_w: int,
) -> tuple[int, int]:  # fmt: skip
    if padding == 0:
        return -(-height // stride_h), -(-width // stride_w)
    return (
        (height - (kernel_h - 1) * dilation_h - 1) // stride_h + 1,
        (width - (kernel_w - 1) * dilation_w - 1) // stride_w + 1,
    )


def fully_connected(b: Builder, rng: Rng, source: int, *, relu: bool = False) -> int:
    """FULLY_CONNECTED on all elements of a tensor; returns its output."""
    depth = int(np.prod(b.tensors[source].shape))
    channels = int(rng.integers(1, 30))
    scales = weight_scales(rng, channels, relu)
    if rng.integers(2):
        scales = scales[:1]
    in_scale = float(b.tensors[source].quantization.scale[0])
    shape = (channels, depth)
    weights = b.tensor(shape, scales, data=any_weights(rng, shape), axis=0)
    inputs = [source, weights]
    if rng.integers(4):
        bias = any_bias(rng, channels, depth)
        inputs.append(b.tensor((channels,), in_scale * scales, data=bias, dtype=INT32))
    else:
        inputs.append(-1)
    out_scale, zero_point, activation = output_quantization(rng, in_scale, scales, depth, relu)
    if len(scales) == 1:  # TFLM then refuses what rounding the bias' scale could change much
        out_scale = max(out_scale, in_scale * float(scales[0]) * 2.0**-16)
    output = b.tensor((1, channels), out_scale, zero_point)
    b.operator("FULLY_CONNECTED", inputs, [output], "FullyConnectedOptions",
               fusedActivationFunction=activation)  # fmt: skip
    return output


def add(b: Builder, rng: Rng, first: int, second: int | None = None) -> int:
    """ADD of two tensors of one shape; returns its output."""
    second = first if second is None else second
    scales = [float(b.tensors[t].quantization.scale[0]) for t in (first, second)]
    out_scale = float(np.float32(max(scales) * 10 ** rng.uniform(-1, 1.5)))
    output = b.tensor(tuple(b.tensors[first].shape), out_scale, any_zero_point(rng))
    b.operator("ADD", [first, second], [output], "AddOptions",
               fusedActivationFunction=any_activation(rng))  # fmt: skip
    return output


def mean(b: Builder, rng: Rng, source: int) -> int:
    """MEAN over height and width; returns its output."""
    channels = b.tensors[source].shape[3]
    keep = bool(rng.integers(2))
    axes = b.tensor((2,), data=np.array([[1, 2], [2, 1], [-3, -2]][rng.integers(3)]), dtype=INT32)
    scale = float(b.tensors[source].quantization.scale[0]) * 10 ** rng.uniform(-1.5, 0.5)
    shape = (1, 1, 1, channels) if keep else (1, channels)
    output = b.tensor(shape, scale, any_zero_point(rng))
    b.operator("MEAN", [source, axes], [output], "ReducerOptions", keepDims=keep)
    return output


def pool(b: Builder, rng: Rng, source: int) -> int:
    """AVERAGE_POOL_2D or MAX_POOL_2D; returns its output."""
    _, height, width, channels = b.tensors[source].shape
    padding = int(rng.integers(2))
    size_h, size_w = (int(rng.integers(1, min(side, 6) + 1)) for side in (height, width))
    stride_h, stride_w = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    quantization = b.tensors[source].quantization
    out = window_shape(height, width, size_h, size_w, stride_h, stride_w, padding, 1, 1)
    output = b.tensor(
        (1, *out, channels),
        float(quantization.scale[0]), int(quantization.zeroPoint[0]),
    )  # fmt: skip
    b.operator(str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), [source], [output],
               "Pool2DOptions", padding=padding, strideH=stride_h, strideW=stride_w,
               filterHeight=size_h, filterWidth=size_w,
               fusedActivationFunction=any_activation(rng))  # fmt: skip
    return output


def pad(b: Builder, rng: Rng, source: int) -> int:
    """PAD, mostly of height and width; returns its output."""
    amounts = np.zeros((4, 2), np.int32)
    amounts[1:3] = rng.integers(0, 3, (2, 2))
    if rng.integers(3) == 0:
        amounts[3] = rng.integers(0, 3, 2)
    shape = tuple(int(s + a.sum()) for s, a in zip(b.tensors[source].shape, amounts, strict=True))
    quantization = b.tensors[source].quantization
    output = b.tensor(shape, float(quantization.scale[0]), int(quantization.zeroPoint[0]))
    paddings = b.tensor((4, 2), data=amounts, dtype=INT32)
    b.operator("PAD", [source, paddings], [output], "PadOptions")
    return output


def reshape(b: Builder, rng: Rng, source: int) -> int:
    """RESHAPE to [1, n]; returns its output."""
    elements = int(np.prod(b.tensors[source].shape))
    quantization = b.tensors[source].quantization
    shape = b.tensor((2,), data=np.array([1, elements]), dtype=INT32)
    output = b.tensor((1, elements), float(quantization.scale[0]), int(quantization.zeroPoint[0]))
    b.operator("RESHAPE", [source, shape], [output], "ReshapeOptions", newShape=[1, elements])
    return output


def softmax(b: Builder, rng: Rng, source: int) -> int:
    """SOFTMAX over the last axis; returns its output."""
    output = b.tensor(tuple(b.tensors[source].shape), 1 / 256, -128)
    beta = float(rng.choice([1.0, 1.0, 0.5, 2.0]))
    b.operator("SOFTMAX", [source], [output], "SoftmaxOptions", beta=beta)
    return output
