"""Weights as int16 where flash has room: the inner loops then have nothing to widen.

Only matrix products gain: 1x1 and other convolutions without groups, and FULLY_CONNECTED. A
depthwise convolution widens a channel's taps once for many outputs. Cores without DSP instructions
keep int8 weights; every output byte stays the same.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deploy.tflite.layer import Constant, Layer, Requantization, gemm, inner_loop
from deploy.tflite.single_rounding import SCALE

_KERNELS = ("nb_conv_1x1_s8", "nb_conv_s8", "nb_fully_connected_s8")
# Instructions saved, a MAC: of a product of four pixels, and of one pixel.
_GAIN_4, _GAIN_1 = 0.11, 0.5


def widen_weights(layers: Sequence[Layer], room: int) -> list[Layer]:
    """The layers, with int16 weights in those that gain most for a byte until ``room`` is used up.

    Args:
        room: bytes of flash that weights may take more.
    """
    found = list(layers)
    candidates = [n for n, layer in enumerate(layers) if layer.kernel in _KERNELS]
    wide = {number: _widened(layers[number]) for number in candidates}
    extra = {
        number: layer.bytes_of("weights") - layers[number].bytes_of("weights")
        for number, layer in wide.items()
    }
    for number in sorted(candidates, key=lambda n: (-_gain(wide[n]) / max(extra[n], 1), n)):
        if extra[number] <= room:
            found[number] = wide[number]
            room -= extra[number]
    return found


def _gain(layer: Layer) -> float:
    """Instructions that an inference saves, roughly."""
    if layer.kernel == "nb_fully_connected_s8":
        return _GAIN_1 * layer.macs
    return _GAIN_4 * layer.macs


def _shape(layer: Layer) -> tuple[int, int]:
    """(output channels, values a pixel that the matrix product sees)."""
    channels = layer.params["out_c"]
    assert isinstance(channels, int)
    if layer.kernel != "nb_conv_s8":
        depth = layer.params["in_c"]
        assert isinstance(depth, int)
        return channels, depth
    weights = layer.params["weights"]
    assert isinstance(weights, Constant)
    return channels, weights.data.size // channels


def _widened(layer: Layer) -> Layer:
    weights, r = layer.params["weights"], layer.params["requantization"]
    assert isinstance(weights, Constant) and isinstance(r, Requantization)
    channels, depth = _shape(layer)
    rows = weights.data.reshape(channels, -1).astype(np.int16)
    if r.offset is not None:
        rows = SCALE * rows  # instead of the pixels
    r = replace(r, int16_weights=True)
    inner = layer.kernel == "nb_fully_connected_s8"
    return replace(
        layer,
        params={
            **layer.params,
            "weights": replace(weights, dsp=_pairs(rows, depth)),
            "requantization": r,
            "gemm": inner_loop(f"nb_gemm_1_int16{r.suffix}", "0") if inner else gemm(depth, r),
        },
    )


def _pairs(rows: np.ndarray, depth: int) -> np.ndarray:
    """Rows [channels, depth rounded up to 4] in the order of nb_gemm_int16.S."""
    channels = len(rows)
    rest = depth % 4 if depth % 4 in (1, 2) else 0
    whole = rows.shape[1] - (4 if rest else 0)
    ordered = rows[:, :whole].reshape(channels, -1, 4)[:, :, [0, 2, 1, 3]].reshape(channels, -1)
    if rest:
        ordered = np.concatenate([ordered, rows[:, whole : whole + 2]], axis=1)
    return np.ascontiguousarray(ordered).reshape(-1)
