# SPDX-License-Identifier: Apache-2.0
"""TFLite's int8 scheme: scales and zero points from ranges, codes from weights.

real = scale * (code - zero_point). Activations are asymmetric per tensor with zero exactly
representable (padding relies on it); weights are symmetric in [-127, 127], per output channel for
convolutions and per tensor for fully connected layers; a bias is int32 with the scale
input_scale * weight_scale.
"""

import numpy as np

from deploy.quantize.tensors import ActivationRange
from deploy.tflite import Quantization

# A bias may take up this much of the int32 accumulator; sums of products stay far below the rest.
_LARGEST_BIAS = 1 << 28


def activation_quantization(values: ActivationRange) -> Quantization:
    """Scale and zero point for a range, extended so that it holds zero.

    A tensor that is zero everywhere gets scale 1/127: every scale represents it exactly.
    """
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    if high == low:
        return Quantization.per_tensor(1 / 127, 0)
    scale = np.float32((high - low) / 255)
    if not np.isfinite(scale) or scale < np.finfo(np.float32).tiny:
        raise ValueError(f"range [{low:g}, {high:g}]")
    zero_point = round(-128 - low / float(scale))
    return Quantization.per_tensor(float(scale), min(max(zero_point, -128), 127))


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


def representable(quantization: Quantization) -> ActivationRange:
    """The reals that a per-tensor int8 quantization holds."""
    scale, zero = quantization.scales[0], quantization.zero_points[0]
    return ActivationRange(scale * (-128 - zero), scale * (127 - zero))
