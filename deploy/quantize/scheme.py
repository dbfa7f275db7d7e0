"""TFLite's int8 scheme: scales and zero points from ranges, codes from weights.

real = scale * (code - zero_point). Activations are asymmetric per tensor with zero exactly
representable (padding relies on it); weights are symmetric in [-127, 127], per output channel for
convolutions and per tensor for fully connected layers; a bias is int32 with the scale
input_scale * weight_scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deploy.core.errors import DeployError
from deploy.quantize.ir import Graph, Quantization, Tensor

# A bias may take up this much of the int32 accumulator; sums of products stay far below the rest.
_LARGEST_BIAS = 1 << 28


class Range(NamedTuple):
    """Smallest and largest value of an activation."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def activation_quantization(values: Range) -> Quantization:
    """Scale and zero point for a range, extended so that it holds zero.

    A tensor that is zero everywhere gets scale 1/127: every scale represents it exactly.
    """
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    if high == low:
        return Quantization.of(1 / 127, 0)
    scale = np.float32((high - low) / 255)
    if not np.isfinite(scale) or scale < np.finfo(np.float32).tiny:
        raise ValueError(f"range [{low:g}, {high:g}]")
    zero_point = round(-128 - low / float(scale))
    return Quantization.of(float(scale), min(max(zero_point, -128), 127))


def quantize_weights(
    weight: np.ndarray, bias: np.ndarray, input_scale: float, *, per_channel: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scales and the int32 bias of a layer.

    A channel whose weights are tiny beside its bias (a dead channel after batch norm folding) gets
    a scale large enough for the bias to fit; its weights round to zero, as they should.

    Args:
        weight: float64 [O, ...]; bias: float64 [O].
        input_scale: scale of the activation that the layer reads.

    Returns:
        int8 codes of the shape of ``weight``, float32 scales [O] or [1], int32 bias [O].
    """
    channels = weight.shape[0]
    largest = np.abs(weight.reshape(channels, -1)).max(axis=1)
    needed = np.abs(bias) / (float(input_scale) * _LARGEST_BIAS)
    scales = np.maximum(largest / 127, needed)
    if not per_channel:
        scales = scales.max(keepdims=True)
    scales = np.where(scales > 1e-30, scales, 1 / 127).astype(np.float32)
    spread = scales.astype(np.float64).reshape(-1, *([1] * (weight.ndim - 1)))
    codes = np.clip(np.rint(weight / spread), -127, 127).astype(np.int8)
    bias_codes = np.rint(bias / (float(input_scale) * scales.astype(np.float64)))
    return codes, scales, bias_codes.astype(np.int32)


def assign_quantization(
    graph: Graph,
    ranges: Mapping[Tensor, Range],
    input_quantization: Quantization,
    given: Mapping[str, Quantization] | None = None,
) -> dict[Tensor, Quantization]:
    """Scale and zero point of every activation.

    ``given`` (by tensor name, from quantization-aware training) takes the place of ranges; every
    tensor that TFLite leaves free must then be in it, or be tied to one that is.

    Tensors that an operator ties together (pooling, padding, concatenation copy codes) share one
    quantization: the prescribed one if there is one, otherwise that of the union of their ranges.

    Raises:
        DeployError: two prescribed quantizations meet, one is missing in ``given``, or a range
            cannot be represented.
    """
    fixed: dict[Tensor, Quantization] = {graph.input: input_quantization}
    for op in graph.ops:
        prescribed = op.fixed_output()
        if prescribed is not None:
            fixed[op.output] = prescribed
    result: dict[Tensor, Quantization] = {}
    for group in _groups(graph):
        prescribed_here = [fixed[tensor] for tensor in group if tensor in fixed]
        if given is not None and not prescribed_here:
            prescribed_here = [given[tensor.name] for tensor in group if tensor.name in given]
            if not prescribed_here:
                raise DeployError(
                    f"layer '{group[0].name}' has no given scale: quantization-aware training "
                    "did not see it; train again with this version"
                )
        values = ranges[group[0]]
        for tensor in group[1:]:
            values = values.union(ranges[tensor])
        if prescribed_here:
            quantization = prescribed_here[0]
            if not all(quantization.same_as(other) for other in prescribed_here):
                raise DeployError(
                    f"tensors {', '.join(t.name for t in group)} must share one scale, but "
                    "softmax, sigmoid, the input or training prescribe different ones; "
                    "concatenate something else"
                )
            if given is None:  # training clips on purpose
                _warn_if_clipped(graph, group, values, quantization)
        else:
            try:
                quantization = activation_quantization(values)
            except ValueError as error:
                raise DeployError(
                    f"layer '{group[0].name}': its {error} has no int8 scale; "
                    "train it again from a sound state"
                ) from error
            if values.low == values.high == 0:
                graph.warnings.append(
                    f"layer '{group[0].name}' answers zero for every calibration image"
                )
        result.update(dict.fromkeys(group, quantization))
    return result


def _warn_if_clipped(
    graph: Graph, group: list[Tensor], values: Range, quantization: Quantization
) -> None:
    low, high = representable(quantization)
    step = float(quantization.scale[0])
    if values.low < low - step or values.high > high + step:
        graph.warnings.append(
            f"layer '{group[-1].name}' reaches [{values.low:g}, {values.high:g}] but shares the "
            f"prescribed range [{low:g}, {high:g}] and is clipped to it"
        )


def representable(quantization: Quantization) -> Range:
    """The reals that a per-tensor int8 quantization holds."""
    scale, zero = float(quantization.scale[0]), quantization.zero_point
    return Range(scale * (-128 - zero), scale * (127 - zero))


def _groups(graph: Graph) -> list[list[Tensor]]:
    """Activations grouped by the ties between them, in order of first appearance."""
    leader = {tensor: tensor for tensor in graph.tensors()}

    def find(tensor: Tensor) -> Tensor:
        while leader[tensor] is not tensor:
            tensor = leader[tensor]
        return tensor

    for op in graph.ops:
        for first, second in op.ties():
            leader[find(second)] = find(first)
    groups: dict[Tensor, list[Tensor]] = {}
    for tensor in graph.tensors():
        groups.setdefault(find(tensor), []).append(tensor)
    return list(groups.values())
