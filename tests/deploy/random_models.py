# SPDX-License-Identifier: Apache-2.0
"""Random quantized models: single operators with hard parameters, and small graphs."""

from collections.abc import Callable

import numpy as np
import random_ops
from random_layers import (
    Rng,
    add,
    any_activation,
    any_bias,
    any_out_scale,
    any_scale,
    any_weight_scales,
    any_weights,
    any_zero_point,
    convolution,
    depthwise,
    fully_connected,
    mean,
    pad,
    pointwise,
    pool,
    reshape,
    softmax,
    window_shape,
)
from tflite_builder import INT32, Builder


def behind_relu(b: Builder, rng: Rng, source: int) -> int:
    """Layers quantized as those of trained nets, with ReLU: their sums are rounded once."""
    kinds = (convolution, depthwise, pointwise, depthwise)
    current = kinds[int(rng.integers(4))](b, rng, source, relu=True)
    current = kinds[int(rng.integers(4))](b, rng, current, relu=True)
    return fully_connected(b, rng, current, relu=True) if rng.integers(4) == 0 else current


SINGLE: dict[str, Callable[[Builder, Rng, int], int]] = {
    "conv_2d": convolution,
    "conv_2d_1x1": pointwise,
    "depthwise_conv_2d": depthwise,
    "fully_connected": fully_connected,
    "add": add,
    "mean": mean,
    "pool": pool,
    "pad": pad,
    "reshape": reshape,
    "softmax": softmax,
    "add_constant": random_ops.add_constant,
    "sub": random_ops.sub,
    "mul": random_ops.mul,
    "logistic": random_ops.logistic,
    "tanh": random_ops.tanh,
    "hard_swish": random_ops.hard_swish,
    "relu": random_ops.relu,
    "quantize": random_ops.quantize,
    "transpose": random_ops.transpose,
    "strided_slice": random_ops.strided_slice,
    "resize": random_ops.resize,
    "concatenation": random_ops.concatenation,
    "behind_relu": behind_relu,
}


def _image_shape(rng: Rng, largest: int = 14) -> tuple[int, ...]:
    height, width = (int(v) for v in rng.integers(1, largest, 2))
    channels = int(rng.choice([1, 2, 3, 4, 8, 12, int(rng.integers(1, 30))]))
    return (1, height, width, channels)


def _input(b: Builder, rng: Rng, largest: int = 14) -> int:
    shape = _image_shape(rng, largest)
    return b.tensor(shape, any_scale(rng), any_zero_point(rng), name="image")


def single(kind: str, rng: Rng) -> bytes:
    """A model of one operator; those of two operands get two model inputs, or a constant."""
    b = Builder()
    source = _input(b, rng)
    if kind == "add":
        other = b.tensor(tuple(b.tensors[source].shape), any_scale(rng), any_zero_point(rng))
        return b.build([source, other], [add(b, rng, source, other)])
    if kind in ("add_constant", "sub", "mul") and rng.integers(2):
        operator = kind.split("_")[0].upper()
        other, output = random_ops.two_inputs(b, rng, operator, source)
        return b.build([source, other], [output])
    return b.build([source], [SINGLE[kind](b, rng, source)])


IMAGE_LAYERS = ("pointwise", "depthwise", "conv", "add", "pool", "pad", "residual", "excite",
                "activation", "arithmetic", "arrange", "view")  # fmt: skip


def graph(rng: Rng) -> bytes:
    """A random net: a few layers with shortcuts, then a classifier; at times several inputs and
    outputs, uint8 at the border."""
    b = Builder()
    if rng.integers(6) == 0:
        source, current = random_ops.quantize_uint8_input(b, rng, _image_shape(rng, 16))
    else:
        source = current = _input(b, rng, 16)
    inputs, extra_outputs = [source], []
    for _ in range(int(rng.integers(1, 9))):
        kind = str(rng.choice(IMAGE_LAYERS))
        current = _layer(b, rng, kind, current)
        if rng.integers(12) == 0:
            extra_outputs.append(current)
        if rng.integers(12) == 0:
            operator = str(rng.choice(["ADD", "SUB", "MUL"]))
            other, current = random_ops.two_inputs(b, rng, operator, current)
            inputs.append(other)
    if rng.integers(2):
        current = mean(b, rng, current)
    elif rng.integers(2):
        current = reshape(b, rng, current)
    if rng.integers(2):
        current = fully_connected(b, rng, current)
        if rng.integers(2):
            current = softmax(b, rng, current)
    if current == source:
        current = reshape(b, rng, current)
    if rng.integers(8) == 0:
        current = random_ops.quantize_uint8_output(b, rng, current)
    return b.build(inputs, [current, *(o for o in extra_outputs if o not in (current, source))])


def _layer(b: Builder, rng: Rng, kind: str, source: int) -> int:
    """One layer that makes an image of an image."""
    source = _tame(b, source)
    groups: dict[str, list[Callable[[Builder, Rng, int], int]]] = {
        "pointwise": [pointwise],
        "depthwise": [depthwise],
        "conv": [convolution],
        "add": [add],
        "pool": [pool],
        "pad": [pad],
        "residual": [_residual],
        "excite": [_excite],
        "activation": [_activate],
        "arithmetic": [random_ops.add_constant, random_ops.sub, random_ops.mul],
        "arrange": [_transpose_image, _slice_image, random_ops.resize, random_ops.concatenation],
        "view": [_view],
    }  # fmt: skip
    choices = groups[kind]
    return choices[int(rng.integers(len(choices)))](b, rng, source)


def _tame(b: Builder, source: int) -> int:
    """Where one layer after another made the scale huge or tiny, a QUANTIZE brings it back."""
    scale = float(b.tensors[source].quantization.scale[0])
    if 1e-5 < scale < 1e4:
        return source
    target = max(min(scale, 1e3), 1e-4, scale * 2.0**-20)
    output = b.tensor(tuple(b.tensors[source].shape), target, 0)
    b.operator("QUANTIZE", [source], [output], "QuantizeOptions")
    return output


def _activate(b: Builder, rng: Rng, source: int) -> int:
    """A curve, a clip or a change of scale; the curves only where the input's scale means much."""
    scale = float(b.tensors[source].quantization.scale[0])
    curves = [random_ops.logistic, random_ops.tanh, random_ops.hard_swish]
    others = [random_ops.relu, random_ops.quantize]
    choices = [*curves, *others] if 1e-6 < scale < 1e4 else others
    return choices[int(rng.integers(len(choices)))](b, rng, source)


def _excite(b: Builder, rng: Rng, source: int) -> int:
    """Squeeze and excitation: a factor for each channel, from the means of all."""
    channels = b.tensors[source].shape[3]
    scale = float(b.tensors[source].quantization.scale[0])
    axes = b.tensor((2,), data=np.array([1, 2]), dtype=INT32)
    means = b.tensor((1, 1, 1, channels), scale, any_zero_point(rng))
    b.operator("MEAN", [source, axes], [means], "ReducerOptions", keepDims=True)
    factor = _activate(b, rng, _pointwise_to(b, rng, means, channels))
    return random_ops.binary(b, rng, "MUL", source, factor)


def _transpose_image(b: Builder, rng: Rng, source: int) -> int:
    """The axes of an image but the batch in another order."""
    shape = tuple(b.tensors[source].shape)
    order = [0, *(int(v) for v in rng.permutation([1, 2, 3]))]
    axes = b.tensor((4,), data=np.array(order), dtype=INT32)
    output = random_ops.same(b, source, tuple(shape[axis] for axis in order))
    b.operator("TRANSPOSE", [source, axes], [output], "TransposeOptions")
    return output


def _slice_image(b: Builder, rng: Rng, source: int) -> int:
    """A part of an image, of the batch all."""
    shape = tuple(b.tensors[source].shape)
    begin, end, step = [0], [1], [1]
    for size in shape[1:]:
        first, last = sorted(int(v) for v in rng.choice(size + 1, 2, replace=False))
        begin.append(first)
        end.append(last)
        step.append(int(rng.choice([1, 1, 2])))
    out = tuple(len(range(*bounds)) for bounds in zip(begin, end, step, strict=True))
    bounds = [b.tensor((4,), data=np.array(v), dtype=INT32) for v in (begin, end, step)]
    output = random_ops.same(b, source, out)
    b.operator("STRIDED_SLICE", [source, *bounds], [output], "StridedSliceOptions")
    return output


def _view(b: Builder, rng: Rng, source: int) -> int:
    """RESHAPE to an image with other rows."""
    _, height, width, channels = b.tensors[source].shape
    shape = (1, width, height, channels)
    if rng.integers(2) and channels % 2 == 0:
        shape = (1, height * 2, width, channels // 2)
    target = b.tensor((4,), data=np.array(shape), dtype=INT32)
    output = random_ops.same(b, source, shape)
    b.operator("RESHAPE", [source, target], [output], "ReshapeOptions", newShape=list(shape))
    return output


def _residual(b: Builder, rng: Rng, source: int) -> int:
    """Two convolutions that keep the shape, and a shortcut around them."""
    shape = tuple(b.tensors[source].shape)
    inner = pointwise(b, rng, source)
    channels = shape[3]
    depth = b.tensors[inner].shape[3]
    in_scale = float(b.tensors[inner].quantization.scale[0])
    weight_shape = (channels, 1, 1, depth)
    scales = any_weight_scales(rng, channels)
    weights = b.tensor(weight_shape, scales, data=any_weights(rng, weight_shape), axis=0)
    scale = any_out_scale(rng, in_scale, float(scales.mean()), depth)
    branch = b.tensor(shape, scale, any_zero_point(rng))
    b.operator("CONV_2D", [inner, weights], [branch], "Conv2DOptions", padding=0, strideH=1,
               strideW=1, fusedActivationFunction=0)  # fmt: skip
    return add(b, rng, source, branch) if rng.integers(2) else add(b, rng, branch, source)


def chain(rng: Rng) -> bytes:
    """Inverted residual blocks: expand, depthwise 3/5/7, project, shortcut where it fits."""
    b = Builder()
    height, width = (int(v) for v in rng.integers(5, 30, 2))
    source = b.tensor(
        (1, height, width, int(rng.integers(1, 5))), any_scale(rng), any_zero_point(rng)
    )
    current = convolution(b, rng, source)
    for _ in range(int(rng.integers(1, 4))):
        start = current
        depth = b.tensors[start].shape[3]
        current = _pointwise_to(b, rng, current, depth * int(rng.integers(2, 5)))
        kernel = int(rng.choice([3, 5, 7]))
        current = _square_depthwise(b, rng, current, kernel, int(rng.choice([1, 1, 2])))
        same = list(b.tensors[current].shape[:3]) == list(b.tensors[start].shape[:3])
        residual = same and bool(rng.integers(4))
        current = _pointwise_to(b, rng, current, depth if residual else int(rng.integers(2, 14)))
        if residual:
            first, second = (start, current) if rng.integers(2) else (current, start)
            current = add(b, rng, first, second)
        if rng.integers(5) == 0:
            current = pool(b, rng, current)
        if rng.integers(5) == 0:
            current = pad(b, rng, current)
    if rng.integers(2):
        current = fully_connected(b, rng, mean(b, rng, current))
    return b.build([source], [current])


def _pointwise_to(b: Builder, rng: Rng, source: int, channels: int) -> int:
    _, height, width, depth = b.tensors[source].shape
    scales = any_weight_scales(rng, channels)
    in_scale = float(b.tensors[source].quantization.scale[0])
    shape = (channels, 1, 1, depth)
    weights = b.tensor(shape, scales, data=any_weights(rng, shape), axis=0)
    bias = b.tensor(
        (channels,), in_scale * scales, data=any_bias(rng, channels, depth), dtype=INT32
    )
    scale = any_out_scale(rng, in_scale, float(scales.mean()), depth)
    output = b.tensor((1, height, width, channels), scale, any_zero_point(rng))
    b.operator("CONV_2D", [source, weights, bias], [output], "Conv2DOptions", padding=0,
               strideH=1, strideW=1, fusedActivationFunction=any_activation(rng))  # fmt: skip
    return output


def _square_depthwise(b: Builder, rng: Rng, source: int, kernel: int, stride: int) -> int:
    _, height, width, depth = b.tensors[source].shape
    padding = 0 if min(height, width) < kernel else int(rng.choice([0, 0, 1]))
    scales = any_weight_scales(rng, depth)
    in_scale = float(b.tensors[source].quantization.scale[0])
    shape = (1, kernel, kernel, depth)
    weights = b.tensor(shape, scales, data=any_weights(rng, shape), axis=3)
    bias = b.tensor((depth,), in_scale * scales, data=any_bias(rng, depth, kernel**2), dtype=INT32)
    scale = any_out_scale(rng, in_scale, float(scales.mean()), kernel**2)
    out = window_shape(height, width, kernel, kernel, stride, stride, padding, 1, 1)
    output = b.tensor((1, *out, depth), scale, any_zero_point(rng))
    b.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [output], "DepthwiseConv2DOptions",
               padding=padding, strideH=stride, strideW=stride, depthMultiplier=1,
               fusedActivationFunction=any_activation(rng))  # fmt: skip
    return output
