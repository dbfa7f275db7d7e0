# SPDX-License-Identifier: Apache-2.0
"""Batch normalization: folded into the layer in front, in float64."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from deploy.quantize.lowering import Call, Lowering, constant, lowers
from deploy.quantize.ops.conv import Conv, add_conv
from deploy.quantize.ops.fully_connected import FullyConnected
from deploy.quantize.tensors import FloatTensor


@lowers(nn.BatchNorm2d, nn.BatchNorm1d)
def lower_batch_norm(lowering: Lowering, call: Call) -> FloatTensor:
    """nn.BatchNorm in eval mode."""
    return _fold(
        lowering,
        call,
        call.get(1, "running_mean"),
        call.get(1, "running_var"),
        call.get(1, "weight"),
        call.get(1, "bias"),
        float(call.get(1, "eps")),
    )


@lowers(F.batch_norm)
def lower_functional_batch_norm(lowering: Lowering, call: Call) -> FloatTensor:
    """F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)."""
    return _fold(
        lowering,
        call,
        call.get(1, "running_mean"),
        call.get(2, "running_var"),
        call.get(3, "weight"),
        call.get(4, "bias"),
        float(call.get(7, "eps", 1e-5)),
    )


def _fold(
    lowering: Lowering,
    call: Call,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    eps: float,
) -> FloatTensor:
    """y = (x - mean) / sqrt(variance + eps) * gamma + beta, as one scale and shift per channel."""
    source = call.tensor()
    if mean is None or variance is None:
        raise call.error("it keeps no running statistics; train with track_running_stats=True")
    variances = constant(call, variance, "running_var")
    if variances.min() < 0:
        raise call.error("its running_var is negative; train it again from a sound state")
    scale = 1.0 / np.sqrt(variances + eps)
    if gamma is not None:
        scale = scale * constant(call, gamma, "weight")
    shift = -constant(call, mean, "running_mean") * scale
    if beta is not None:
        shift = shift + constant(call, beta, "bias")
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise call.error("its statistics give NaN or infinity; train it again from a sound state")
    if len(scale) != source.shape[-1]:
        raise call.error(f"it has {len(scale)} channels, but reads {source.shape[-1]}")
    producer = lowering.unfused_producer(source)
    if isinstance(producer, Conv | FullyConnected):
        producer.scale_output(scale, shift)
        producer.layers.append(call.layer)
        return source
    if len(source.shape) != 4:
        raise call.error("it follows no layer that could absorb it; put it behind nn.Linear")
    return _as_depthwise(lowering, call, source, scale, shift)


def _as_depthwise(
    lowering: Lowering, call: Call, source: FloatTensor, scale: np.ndarray, shift: np.ndarray
) -> FloatTensor:
    """A batch norm that nothing can absorb becomes a depthwise 1x1 convolution."""
    return add_conv(lowering, call, source, scale[:, None, None, None], shift, groups=len(scale))
