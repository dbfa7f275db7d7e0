# SPDX-License-Identifier: Apache-2.0
"""Random nets whose branches are joined along the channels, as in SqueezeNet and Inception."""

import numpy as np
from random_layers import (
    Rng,
    any_activation,
    any_bias,
    any_scale,
    any_weights,
    any_zero_point,
    window_shape,
)
from tflite_builder import INT32, Builder

Quantization = tuple[float, int]
# Those of the second line keep the scale of their input, which then is that of the joined tensor.
MADE = ("conv", "pointwise", "grouped", "depthwise", "multiplier", "deep", "curve", "ADD", "MUL")
KEPT = ("pool", "resize", "source")


def joined(rng: Rng) -> bytes:
    """A stem, some blocks of branches, and an end."""
    b = Builder()
    height, width = (int(n) for n in rng.choice([1, 2, 3, 5, 8, 11, 14], 2))
    image = b.tensor((1, height, width, int(rng.integers(1, 8))), any_scale(rng),
                     any_zero_point(rng), name="image")  # fmt: skip
    current = image
    if rng.integers(3):
        current = conv(b, rng, image, _any_quantization(b, rng, image), "conv")
    outputs = []
    for _ in range(int(rng.integers(1, 4))):
        if rng.integers(2):
            current = conv(b, rng, current, _any_quantization(b, rng, current), "pointwise")
        current, other = block(b, rng, current)
        if other is not None and rng.integers(2):
            outputs.append(other)
    if rng.integers(3):
        current = conv(b, rng, current, _any_quantization(b, rng, current), "pointwise")
    return b.build([image], [current, *outputs])


def block(b: Builder, rng: Rng, source: int) -> tuple[int, int | None]:
    """Branches and their CONCATENATION; returns it, and at times another reader of a branch."""
    keeps = bool(rng.integers(2))
    own = _quantization(b, source) if keeps else _any_quantization(b, rng, source)
    stride = int(rng.choice([1, 1, 1, 2]))
    kinds = (*MADE, *MADE, *KEPT) if keeps else MADE
    parts = [
        branch(b, rng, source, own, str(rng.choice(kinds)), stride)
        for _ in range(int(rng.integers(2, 5)))
    ]
    made = [part for part in parts if part != source]
    other = None
    if made and rng.integers(6) == 0:
        other = conv(b, rng, made[0], _any_quantization(b, rng, made[0]), "pointwise")
    if rng.integers(8) == 0:
        parts.append(parts[0])
    if len(parts) > 2 and rng.integers(3) == 0:
        parts = [join(b, parts[:2], own), *parts[2:]]
    return join(b, parts, own), other


def join(b: Builder, parts: list[int], own: Quantization) -> int:
    """CONCATENATION along the channels."""
    *shape, _ = b.tensors[parts[0]].shape
    output = b.tensor((*shape, sum(b.tensors[part].shape[3] for part in parts)), *own)
    b.operator("CONCATENATION", parts, [output], "ConcatenationOptions", axis=3)
    return output


def branch(b: Builder, rng: Rng, source: int, own: Quantization, kind: str, stride: int) -> int:
    """A branch whose output has the quantization ``own``, and rows for the stride."""
    _, height, width, channels = b.tensors[source].shape
    if kind == "source":
        return source if stride == 1 else branch(b, rng, source, own, "pool", stride)
    if kind == "deep":
        inner = conv(b, rng, source, _any_quantization(b, rng, source), "pointwise")
        return conv(b, rng, inner, own, "conv", stride)
    if kind in ("curve", "ADD", "MUL"):
        near = _any_quantization(b, rng, source)
        inner = conv(b, rng, source, near, "conv", stride)
        output = b.tensor(tuple(b.tensors[inner].shape), *own)
        if kind == "curve":
            b.operator("QUANTIZE", [inner], [output], "QuantizeOptions")
            return output
        *_, made = b.tensors[inner].shape
        other = conv(b, rng, source, near, "conv", stride, made)
        b.operator(kind, [inner, other], [output], f"{kind.title()}Options",
                   fusedActivationFunction=any_activation(rng))  # fmt: skip
        return output
    if kind == "pool":
        output = b.tensor((1, -(-height // stride), -(-width // stride), channels), *own)
        b.operator(str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), [source], [output],
                   "Pool2DOptions", padding=0, strideH=stride, strideW=stride,
                   filterHeight=min(3, height), filterWidth=min(3, width),
                   fusedActivationFunction=any_activation(rng))  # fmt: skip
        return output
    if kind == "resize":
        size = np.array([-(-height // stride), -(-width // stride)])
        output = b.tensor((1, int(size[0]), int(size[1]), channels), *own)
        how = str(rng.choice(["ResizeNearestNeighbor", "ResizeBilinear"]))
        name = {"ResizeNearestNeighbor": "RESIZE_NEAREST_NEIGHBOR"}.get(how, "RESIZE_BILINEAR")
        b.operator(name, [source, b.tensor((2,), data=size, dtype=INT32)], [output],
                   f"{how}Options")  # fmt: skip
        return output
    return conv(b, rng, source, own, kind, stride)


def conv(
    b: Builder, rng: Rng, source: int, own: Quantization, kind: str, stride: int = 1,
    channels: int = 0,
) -> int:  # fmt: skip
    """A convolution of some kind, padded as SAME, some of whose channels are dead."""
    _, height, width, depth = b.tensors[source].shape
    channels = channels or int(rng.choice([1, 2, 3, 4, 5, 7, 8, 12, 17]))
    kernel, taps, dilation = (1, 1), depth, 1
    if not (kind == "pointwise" and stride == 1):
        kernel = (int(rng.choice([1, 3, 3, 5, 7])),) * 2 if rng.integers(4) else (3, 2)
        dilation = 2 if stride == 1 and rng.integers(6) == 0 else 1
    by_channel = kind in ("depthwise", "multiplier")
    if by_channel:
        channels, taps = depth * (1 if kind == "depthwise" else int(rng.integers(2, 4))), 1
    elif kind == "grouped":
        channels, taps = depth * int(rng.integers(1, 3)), 1
    shape = (1, *kernel, channels) if by_channel else (channels, *kernel, taps)
    taps *= kernel[0] * kernel[1]
    axis = 3 if by_channel else 0
    in_scale = _quantization(b, source)[0]
    spread = own[0] / in_scale / (60 * np.sqrt(taps))
    scales = (spread * 10 ** rng.uniform(-1, 1, channels)).astype(np.float32)
    if rng.integers(6) == 0:  # a multiplier above 1, which only portable kernels have
        scales[0] = np.float32(2.5 * own[0] / in_scale)
    data = np.array(any_weights(rng, shape))
    bias = any_bias(rng, channels, taps)
    if rng.integers(3) == 0:
        np.moveaxis(data, axis, 0)[rng.integers(0, 2, channels) == 0] = 0
    inputs = [source, b.tensor(shape, scales, data=data, axis=axis)]
    inputs.append(b.tensor((channels,), in_scale * scales, data=bias, dtype=INT32))
    out = window_shape(height, width, *kernel, stride, stride, 0, dilation, dilation)
    output = b.tensor((1, *out, channels), *own)
    options = {"padding": 0, "strideH": stride, "strideW": stride, "dilationHFactor": dilation,
               "dilationWFactor": dilation,
               "fusedActivationFunction": any_activation(rng)}  # fmt: skip
    if by_channel:
        b.operator("DEPTHWISE_CONV_2D", inputs, [output], "DepthwiseConv2DOptions",
                   depthMultiplier=channels // depth, **options)  # fmt: skip
    else:
        b.operator("CONV_2D", inputs, [output], "Conv2DOptions", **options)
    return output


def _quantization(b: Builder, tensor: int) -> Quantization:
    own = b.tensors[tensor].quantization
    return float(own.scale[0]), int(own.zeroPoint[0])


def _any_quantization(b: Builder, rng: Rng, source: int) -> Quantization:
    """A scale near the source's, so that long chains stay within what TFLM takes."""
    scale = _quantization(b, source)[0] * 10 ** rng.uniform(-0.5, 0.5)
    return float(np.float32(min(max(scale, 1e-4), 10.0))), any_zero_point(rng)
