# SPDX-License-Identifier: Apache-2.0
"""Activation ranges over the calibration images.

Ranges are over all images together: averaging them over images, or clipping logits, costs more
accuracy than anything that it wins. Only ranges (and histograms) are kept, never activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from deploy.core.errors import DeployError
from deploy.quantize.graph import FloatGraph
from deploy.quantize.tensors import ActivationRange, FloatTensor

CALIBRATION_METHODS = ("min-max", "percentile", "entropy", "mse")
_BINS = 2048
_LEVELS = 255  # steps of the int8 grid over a range
_CANDIDATES = 100  # clippings that the MSE search tries on each side


def check_images(images: np.ndarray) -> None:
    """Refuse a calibration set that says nothing.

    Raises:
        DeployError: not float [N, C, H, W], empty, NaN or infinite, constant.
    """
    if images.ndim != 4:
        raise DeployError(
            f"calibration images have shape {images.shape}: give a float array [N, C, H, W]"
        )
    if images.dtype.kind != "f":
        raise DeployError(
            f"calibration images are {images.dtype}: give preprocessed float images [N, C, H, W]"
        )
    if images.size == 0:
        raise DeployError("the calibration set is empty: give at least 16 training images")
    if not np.isfinite(images).all():
        raise DeployError("calibration images hold NaN or infinity: check the preprocessing")
    if images.max() == images.min() or (len(images) > 1 and (images == images[:1]).all()):
        raise DeployError(
            "the calibration set is constant (every image alike): give different training images"
        )


def calibrate(
    graph: FloatGraph,
    images: np.ndarray,
    *,
    method: str = "min-max",
    percentile: float = 99.99,
    batch_size: int = 16,
) -> dict[FloatTensor, ActivationRange]:
    """The range of every activation of ``graph``.

    Args:
        images: float32 [N, C, H, W], preprocessed.
        method: "min-max"; "percentile" leaves out the outermost values, ``percentile`` % stay in
            between; "entropy" picks the clipping whose int8 histogram diverges least from the
            float one (Kullback-Leibler); "mse" the one with the smallest squared error. All but
            the first take a second pass, and outputs of the network keep their full range.

    Raises:
        DeployError: unknown method, or an activation is NaN or infinite (its layer is named).
    """
    if method not in CALIBRATION_METHODS:
        raise DeployError(
            f"unknown calibration method '{method}': choose one of {', '.join(CALIBRATION_METHODS)}"
        )
    full: dict[FloatTensor, ActivationRange] = {}
    for tensor, layer, values in activations(graph, images, batch_size):
        low, high = (float(bound) for bound in torch.aminmax(values))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DeployError(
                f"layer '{layer}' gives NaN or infinity on the calibration images: "
                "train it again from a sound state, or check the preprocessing"
            )
        full[tensor] = (
            ActivationRange(low, high).union(full[tensor])
            if tensor in full
            else ActivationRange(low, high)
        )
    if method == "min-max":
        return full
    kept = {graph.input, *graph.outputs}
    narrow = [t for t, r in full.items() if t not in kept and r.low < r.high]
    histograms = {tensor: np.zeros(_BINS) for tensor in narrow}
    for tensor, _, values in activations(graph, images, batch_size):
        if tensor in histograms:
            low, high = full[tensor]
            histograms[tensor] += torch.histc(values, _BINS, low, high).double().numpy()
    ranges = dict(full)
    for tensor, histogram in histograms.items():
        if method == "percentile":
            ranges[tensor] = _percentile(histogram, full[tensor], percentile)
        else:
            cost = _divergence if method == "entropy" else _squared_error
            ranges[tensor] = _best_clipping(histogram, full[tensor], cost)
    return ranges


def channel_maxima(
    graph: FloatGraph, images: np.ndarray, *, batch_size: int = 16
) -> dict[FloatTensor, np.ndarray]:
    """The largest absolute value of each channel of every activation, float64 [C]."""
    found: dict[FloatTensor, np.ndarray] = {}
    for tensor, _, values in activations(graph, images, batch_size):
        largest = values.abs().transpose(0, 1).flatten(1).amax(1).double().numpy()
        found[tensor] = np.maximum(largest, found[tensor]) if tensor in found else largest
    return found


def activations(
    graph: FloatGraph, images: np.ndarray, batch_size: int
) -> Iterator[tuple[FloatTensor, str, torch.Tensor]]:
    """Every activation of every batch, with its layer; freed after its last reader."""
    last_use = {tensor: index for index, op in enumerate(graph.ops) for tensor in op.inputs}
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = np.ascontiguousarray(images[start : start + batch_size], np.float32)
            alive = {graph.input: torch.from_numpy(batch)}
            yield graph.input, graph.input.name, alive[graph.input]
            for index, op in enumerate(graph.ops):
                values = op.run(*(alive[tensor] for tensor in op.inputs))
                for tensor in op.inputs:
                    if last_use[tensor] == index:
                        alive.pop(tensor, None)
                if last_use.get(op.output, -1) > index:
                    alive[op.output] = values
                yield op.output, op.layer, values


def _percentile(
    histogram: np.ndarray, values: ActivationRange, percentile: float
) -> ActivationRange:
    """Cut (100 - percentile) / 2 % of the values at each end."""
    shares = np.cumsum(histogram) / histogram.sum()
    tail = (100 - percentile) / 200
    edges = np.linspace(values.low, values.high, _BINS + 1)
    low = edges[int(np.searchsorted(shares, tail, side="right"))]
    high = edges[min(int(np.searchsorted(shares, 1 - tail)) + 1, _BINS)]
    return ActivationRange(float(low), float(high))


Cost = Callable[[np.ndarray, np.ndarray, float, float], float]


def _best_clipping(histogram: np.ndarray, values: ActivationRange, cost: Cost) -> ActivationRange:
    """The clipping of the histogram with the smallest cost.

    The two ends are searched one after the other, over even steps of the full range.
    """
    edges = np.linspace(values.low, values.high, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2

    def of(low: float, high: float) -> float:
        low, high = min(low, 0.0), max(high, 0.0)
        return cost(histogram, centres, low, high) if high > low else float("inf")

    shrink = np.linspace(1.0, 0.2, _CANDIDATES)
    low, high = values
    high = min((float(h) for h in high * shrink), key=lambda h: of(low, h)) if high > 0 else high
    low = min((float(v) for v in low * shrink), key=lambda v: of(v, high)) if low < 0 else low
    return ActivationRange(low, high)


def _squared_error(histogram: np.ndarray, centres: np.ndarray, low: float, high: float) -> float:
    """Of rounding and clipping, over all values."""
    step = (high - low) / _LEVELS
    rounded = np.clip(np.rint((centres - low) / step), 0, _LEVELS) * step + low
    return float((histogram * (centres - rounded) ** 2).sum())


def _divergence(histogram: np.ndarray, centres: np.ndarray, low: float, high: float) -> float:
    """Kullback-Leibler divergence of the int8 histogram from the clipped float one.

    As in TensorRT's calibration: values beyond an end count at that end, in the float histogram
    only, and a code's values spread evenly over the bins that it stands for and that are used.
    The bin of the exact zeros behind a ReLU is no signal and stays out.
    """
    inside = (centres >= low) & (centres <= high)
    counts, own = histogram[inside].copy(), centres[inside]
    if len(counts) < 2 or not counts.sum():
        return float("inf")
    counts[np.abs(own).argmin()] = 0
    reference = counts.copy()
    reference[0] += histogram[centres < low].sum()
    reference[-1] += histogram[centres > high].sum()
    codes = np.rint((own - low) / (high - low) * _LEVELS).astype(int)
    used = counts > 0
    totals = np.bincount(codes, counts, _LEVELS + 1)
    bins = np.bincount(codes, used, _LEVELS + 1)
    spread = np.where(used, totals[codes] / np.maximum(bins[codes], 1), 0.0)
    if not spread.sum():
        return float("inf")
    # Where only clipped values lie, the int8 histogram is empty: a little mass keeps the cost
    # finite and large.
    p, q = reference / reference.sum(), np.maximum(spread / spread.sum(), 1e-9)
    where = p > 0
    return float((p[where] * np.log(p[where] / q[where])).sum())
