# SPDX-License-Identifier: Apache-2.0
"""Random operators beyond convolutions, with hard parameters; each returns its output tensor."""

import numpy as np
from random_layers import any_scale, any_zero_point
from tflite_builder import INT32, UINT8, Builder

Rng = np.random.Generator


def scale_of(b: Builder, tensor: int) -> float:
    """A tensor's scale."""
    return float(b.tensors[tensor].quantization.scale[0])


def zero_of(b: Builder, tensor: int) -> int:
    """A tensor's zero point."""
    return int(b.tensors[tensor].quantization.zeroPoint[0])


def shape_of(b: Builder, tensor: int) -> tuple[int, ...]:
    """A tensor's shape."""
    return tuple(b.tensors[tensor].shape)


def same(b: Builder, source: int, shape: tuple[int, ...]) -> int:
    """A tensor of another shape with the source's quantization."""
    return b.tensor(shape, scale_of(b, source), zero_of(b, source))


def _activation(rng: Rng) -> int:
    return int(rng.choice([0, 0, 1, 2, 3]))


def _broadcastable(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that fits: axes become 1, leading ones may be left out; often a known pattern."""
    kind = rng.integers(5)
    if kind == 0:
        return shape
    if kind == 1:
        return (*(1,) * (len(shape) - 1), shape[-1])
    if kind == 2:
        return () if rng.integers(2) else (1,)
    found = tuple(1 if rng.integers(2) else size for size in shape)
    leading = int(rng.integers(len(shape)))
    while leading and found[0] == 1 and len(found) > 1:
        found, leading = found[1:], leading - 1
    return found


def _combined_scale(rng: Rng, kind: str, first: float, second: float) -> float:
    if kind == "MUL":
        typical = first * second * 128
        spread = rng.uniform(-4, 6) if rng.integers(4) == 0 else rng.uniform(-1, 1.5)
        return float(np.float32(max(typical * 10**spread, first * second * 2.0**-13, 1e-8)))
    return float(np.float32(max(first, second) * 10 ** rng.uniform(-1, 1.5)))


def binary(b: Builder, rng: Rng, kind: str, source: int, other: int | None = None) -> int:
    """ADD, SUB or MUL of a tensor with another, or with a constant that may be broadcast."""
    if other is None:
        shape = _broadcastable(rng, shape_of(b, source))
        data = rng.integers(-128, 128, shape, dtype=np.int8)
        other = b.tensor(shape, any_scale(rng), any_zero_point(rng), data=data)
    operands = [source, other] if rng.integers(2) else [other, source]
    scale = _combined_scale(rng, kind, scale_of(b, source), scale_of(b, other))
    rank = max(len(shape_of(b, t)) for t in operands)
    shapes = [(1,) * (rank - len(shape_of(b, t))) + shape_of(b, t) for t in operands]
    output = b.tensor(tuple(np.maximum(*shapes).tolist()), scale, any_zero_point(rng))
    b.operator(kind, operands, [output], f"{kind.capitalize()}Options",
               fusedActivationFunction=_activation(rng))  # fmt: skip
    return output


def add_constant(b: Builder, rng: Rng, source: int) -> int:
    """ADD with a constant."""
    return binary(b, rng, "ADD", source)


def sub(b: Builder, rng: Rng, source: int) -> int:
    """SUB with a constant, or of a tensor from itself."""
    return binary(b, rng, "SUB", source, source if rng.integers(4) == 0 else None)


def mul(b: Builder, rng: Rng, source: int) -> int:
    """MUL with a constant, or of a tensor with itself."""
    return binary(b, rng, "MUL", source, source if rng.integers(4) == 0 else None)


def two_inputs(b: Builder, rng: Rng, kind: str, source: int) -> list[int]:
    """ADD, SUB or MUL of two model inputs; returns [second input, output]."""
    other = b.tensor(_broadcastable(rng, shape_of(b, source)), any_scale(rng), any_zero_point(rng))
    return [other, binary(b, rng, kind, source, other)]


def logistic(b: Builder, rng: Rng, source: int) -> int:
    """LOGISTIC."""
    output = b.tensor(shape_of(b, source), 1 / 256, -128)
    b.operator("LOGISTIC", [source], [output])
    return output


def tanh(b: Builder, rng: Rng, source: int) -> int:
    """TANH."""
    output = b.tensor(shape_of(b, source), 1 / 128, 0)
    b.operator("TANH", [source], [output])
    return output


def hard_swish(b: Builder, rng: Rng, source: int) -> int:
    """HARD_SWISH."""
    scale = max(scale_of(b, source) * 10 ** rng.uniform(-2, 1), scale_of(b, source) / 127)
    output = b.tensor(shape_of(b, source), scale, any_zero_point(rng))
    b.operator("HARD_SWISH", [source], [output], "HardSwishOptions")
    return output


def relu6(b: Builder, rng: Rng, source: int) -> int:
    """RELU6, which keeps the scale."""
    output = same(b, source, shape_of(b, source))
    b.operator("RELU6", [source], [output])
    return output


def relu(b: Builder, rng: Rng, source: int) -> int:
    """RELU with a change of scale, or RELU6."""
    if rng.integers(2):
        return relu6(b, rng, source)
    scale = scale_of(b, source) * 10 ** rng.uniform(-1.5, 1)
    output = b.tensor(shape_of(b, source), scale, any_zero_point(rng))
    b.operator("RELU", [source], [output])
    return output


def quantize(b: Builder, rng: Rng, source: int) -> int:
    """QUANTIZE to another int8 scale."""
    spread = rng.uniform(-5, 5) if rng.integers(4) == 0 else rng.uniform(-1, 1)
    scale = scale_of(b, source) * 10**spread
    if rng.integers(4) == 0:
        scale = scale_of(b, source)
    output = b.tensor(shape_of(b, source), scale, any_zero_point(rng))
    b.operator("QUANTIZE", [source], [output], "QuantizeOptions")
    return output


def quantize_uint8_input(b: Builder, rng: Rng, shape: tuple[int, ...]) -> list[int]:
    """A uint8 model input and the QUANTIZE behind it; returns both tensors."""
    scale, zero = any_scale(rng), int(rng.choice([0, 128, 255, int(rng.integers(256))]))
    source = b.tensor(shape, scale, zero, dtype=UINT8)
    if rng.integers(2):
        output = b.tensor(shape, scale, zero - 128)
    else:
        output = b.tensor(shape, scale * 10 ** rng.uniform(-1, 1), any_zero_point(rng))
    b.operator("QUANTIZE", [source], [output], "QuantizeOptions")
    return [source, output]


def quantize_uint8_output(b: Builder, rng: Rng, source: int) -> int:
    """A QUANTIZE to uint8, for a model output."""
    if rng.integers(2):
        output = b.tensor(
            shape_of(b, source), scale_of(b, source), zero_of(b, source) + 128, dtype=UINT8
        )
    else:
        scale = scale_of(b, source) * 10 ** rng.uniform(-1, 1)
        output = b.tensor(shape_of(b, source), scale, int(rng.integers(256)), dtype=UINT8)
    b.operator("QUANTIZE", [source], [output], "QuantizeOptions")
    return output


def transpose(b: Builder, rng: Rng, source: int) -> int:
    """TRANSPOSE; the batch stays in front, so that convolutions can follow."""
    shape = shape_of(b, source)
    order = [0, *(int(v) for v in rng.permutation(np.arange(1, len(shape))))]
    if len(shape) < 3 or rng.integers(5) == 0:
        order = [int(v) for v in rng.permutation(len(shape))]
    axes = b.tensor((len(order),), data=np.array(order), dtype=INT32)
    output = same(b, source, tuple(shape[axis] for axis in order))
    b.operator("TRANSPOSE", [source, axes], [output], "TransposeOptions")
    return output


def strided_slice(b: Builder, rng: Rng, source: int) -> int:
    """STRIDED_SLICE with steps to either side, masks, and at times an axis less."""
    shape = shape_of(b, source)
    begin, end, step, out = [], [], [], []
    masks = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0}
    for axis, size in enumerate(shape):
        stride = int(rng.choice([1, 1, 2, 3, -1, -2]))
        first, last = sorted(int(v) for v in rng.choice(size + 1, 2, replace=size == 0))
        start, stop = (first, last) if stride > 0 else (last - 1, first - 1)
        if rng.integers(3) == 0:
            masks["beginMask"] |= 1 << axis
            start = 0 if stride > 0 else size - 1
        if rng.integers(3) == 0:
            masks["endMask"] |= 1 << axis
            stop = size if stride > 0 else -1
        if rng.integers(8) == 0 and len(shape) == 4 and stride > 0:
            masks["shrinkAxisMask"] |= 1 << axis
            stop = start + 1
        else:
            out.append(len(range(start, stop, stride)))
        begin.append(start - size if rng.integers(3) == 0 and start < size else start)
        # An end of -1 means the last element, so the place before the first is further down.
        end.append(-size - 1 if stop < 0 else stop)
        step.append(stride)
    bounds = [b.tensor((len(shape),), data=np.array(v), dtype=INT32) for v in (begin, end, step)]
    output = same(b, source, tuple(out))
    b.operator("STRIDED_SLICE", [source, *bounds], [output], "StridedSliceOptions", **masks)
    return output


def resize(b: Builder, rng: Rng, source: int) -> int:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR of an image; returns its output."""
    _, height, width, channels = shape_of(b, source)
    kind = str(rng.choice(["ResizeNearestNeighbor", "ResizeBilinear"]))
    how = int(rng.integers(3))

    def size_for(length: int) -> int:
        while True:
            size = int(rng.choice([2 * length, length, int(rng.integers(1, 40))]))
            scale = (1024 * length + size // 2) // size  # see between() in resize_bilinear.py
            place = (size - 1) * scale + (scale // 2 - 512 if how == 2 else 0)
            if kind == "ResizeNearestNeighbor" or place < 1024 * length:
                return size

    size = np.array([size_for(height), size_for(width)])
    output = same(b, source, (1, int(size[0]), int(size[1]), channels))
    operator = {"ResizeNearestNeighbor": "RESIZE_NEAREST_NEIGHBOR"}.get(kind, "RESIZE_BILINEAR")
    b.operator(operator, [source, b.tensor((2,), data=size, dtype=INT32)], [output],
               f"{kind}Options", alignCorners=how == 1, halfPixelCenters=how == 2)  # fmt: skip
    return output


def concatenation(b: Builder, rng: Rng, source: int, others: int | None = None) -> int:
    """CONCATENATION of a tensor with re-used, flipped or sliced versions of itself."""
    shape = shape_of(b, source)
    axis = int(rng.integers(1, len(shape))) if len(shape) == 4 else int(rng.integers(len(shape)))
    parts = [source]
    for _ in range(int(rng.integers(4)) if others is None else others):
        take = int(rng.integers(1, shape[axis] + 1))
        begin, end = [0] * len(shape), list(shape)
        end[axis] = take
        part = same(b, source, tuple(end))
        bounds = [b.tensor((len(shape),), data=np.array(v), dtype=INT32)
                  for v in (begin, end, [1] * len(shape))]  # fmt: skip
        b.operator("STRIDED_SLICE", [source, *bounds], [part], "StridedSliceOptions")
        parts.insert(int(rng.integers(len(parts) + 1)), part)
    total = sum(shape_of(b, part)[axis] for part in parts)
    output = same(b, source, (*shape[:axis], total, *shape[axis + 1 :]))
    b.operator("CONCATENATION", parts, [output], "ConcatenationOptions",
               axis=axis - len(shape) if rng.integers(2) else axis)  # fmt: skip
    return output
