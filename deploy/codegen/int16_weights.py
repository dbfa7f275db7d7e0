# SPDX-License-Identifier: Apache-2.0
"""Weights as int16 where flash has room: the inner loops then have nothing to widen.

Only matrix products gain: 1x1 and other convolutions without groups, and FULLY_CONNECTED. A
depthwise convolution widens a channel's taps once for many outputs. Other backends keep int8
weights; every output byte stays the same.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deploy.backends import BACKENDS, Product, by_backend
from deploy.tflite.layer import Layer
from deploy.tflite.parameters import ConvParams, FullyConnectedParams, ProductParams
from deploy.tflite.single_rounding import SCALE

_BACKEND = next(backend for backend in BACKENDS if backend.widens_weights)
# Of kernels without an inner loop of a backend.
_LOOPLESS = ("_any_s8", "_grouped_s8")


def widen_weights(layers: Sequence[Layer], room: int) -> list[Layer]:
    """The layers, with int16 weights in those that gain most for a byte until ``room`` is used up.

    Args:
        room: bytes of flash that weights may take more.
    """
    found = list(layers)
    gains, wide = {}, {}
    for number, layer in enumerate(layers):
        if isinstance(layer.params, ProductParams) and not layer.kernel.endswith(_LOOPLESS):
            wide[number] = _widened(layer, layer.params)
            gains[number] = _BACKEND.saved_by_int16(layer.macs, pixels=_pixels(layer.params))
    extra = {
        number: layer.bytes_of("weights") - layers[number].bytes_of("weights")
        for number, layer in wide.items()
    }
    for number in sorted(wide, key=lambda n: (-gains[n] / max(extra[n], 1), n)):
        if extra[number] <= room:
            found[number] = wide[number]
            room -= extra[number]
    return found


def _pixels(params: ProductParams) -> int:
    """Of one pass of the inner loop."""
    return 1 if isinstance(params, FullyConnectedParams) else 4


def _widened(layer: Layer, params: ProductParams) -> Layer:
    weights, r = params.weights, params.requantization
    rows = weights.data.reshape(params.out_c, -1).astype(np.int16)
    depth = rows.shape[1] if isinstance(params, ConvParams) else params.in_c
    if r.rounds_once:
        rows = SCALE * rows  # instead of the pixels
    product = Product(depth, r.fast, r.rounds_once, int16=True, pixels=_pixels(params))
    packed = replace(weights, fast=_BACKEND.pack_weights(rows, depth))
    return replace(
        layer,
        params=replace(
            params,
            weights=packed,
            requantization=replace(r, int16_weights=True),
            gemm=by_backend(lambda backend: backend.product(product)),
        ),
    )
