# SPDX-License-Identifier: Apache-2.0
"""Bias correction: the mean error that rounding gives a layer is taken out of its bias.

Rounded weights and inputs shift the mean of a layer's output (Nagel et al., 2019). The shift is
measured on the calibration images, layer by layer against the float network, and subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from deploy.quantize.calibrate import activations
from deploy.quantize.graph import FloatGraph
from deploy.quantize.ops.conv import Conv
from deploy.quantize.ops.fully_connected import FullyConnected
from deploy.quantize.scheme import quantize_weights
from deploy.quantize.tensors import FloatTensor
from deploy.tflite import Quantization


@contextmanager
def corrected_biases(
    graph: FloatGraph,
    images: np.ndarray,
    quantization: Mapping[FloatTensor, Quantization],
    *,
    batch_size: int = 16,
) -> Iterator[None]:
    """Biases of ``graph`` with which int8 keeps every channel's mean, while the context lasts.

    Afterwards the float network has its own again.

    Args:
        images: float32 [N, C, H, W], the calibration images.
        quantization: of every activation; it stays as it is.
    """
    layers = [op for op in graph.ops if isinstance(op, Conv | FullyConnected)]
    rounded = {id(op): _rounded_weight(op, quantization[op.inputs[0]]) for op in layers}
    totals = {id(op): np.zeros(len(op.bias)) for op in layers}
    readers: dict[FloatTensor, list[Conv | FullyConnected]] = {}
    for op in layers:
        readers.setdefault(op.inputs[0], []).append(op)
    for tensor, _, values in activations(graph, images, batch_size):
        own = quantization[tensor]
        for op in readers.get(tensor, []):
            exact = _linear(op, values, torch.from_numpy(op.weight.astype(np.float32)))
            error = _linear(op, fake_quantize(values, own), rounded[id(op)]) - exact
            per_channel = error.transpose(0, 1).flatten(1).mean(1).double().numpy()
            totals[id(op)] += per_channel * len(values)
    before = [op.bias for op in layers]
    for op in layers:
        op.bias = op.bias - totals[id(op)] / len(images)
    try:
        yield
    finally:
        for op, bias in zip(layers, before, strict=True):
            op.bias = bias


def fake_quantize(values: torch.Tensor, quantization: Quantization) -> torch.Tensor:
    """Values as int8 holds them."""
    scale, zero = quantization.scales[0], quantization.zero_points[0]
    return (torch.clamp(torch.round(values / scale) + zero, -128, 127) - zero) * scale


def _rounded_weight(op: Conv | FullyConnected, source: Quantization) -> torch.Tensor:
    codes, scales, _ = quantize_weights(
        op.weight, op.bias, source.scales[0], per_channel=isinstance(op, Conv)
    )
    spread = scales.reshape(-1, *([1] * (op.weight.ndim - 1)))
    return torch.from_numpy((codes * spread).astype(np.float32))


def _linear(op: Conv | FullyConnected, values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The layer without bias and activation."""
    if isinstance(op, FullyConnected):
        return F.linear(values.flatten(1), weight)
    top, bottom, left, right = op.pads
    padded = F.pad(values, (left, right, top, bottom))
    return F.conv2d(padded, weight, None, op.stride, 0, op.dilation, op.groups)
