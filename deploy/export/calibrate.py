"""Activation ranges over the calibration images.

Ranges are over all images together: averaging them over images, or clipping logits, costs more
accuracy than anything that it wins. Only ranges (and histograms) are kept, never activations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from deploy.errors import DeployError
from deploy.export.ir import Graph, Tensor
from deploy.export.quantize import Range

METHODS = ("min-max", "percentile", "mse")
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
    graph: Graph,
    images: np.ndarray,
    *,
    method: str = "min-max",
    percentile: float = 99.99,
    batch_size: int = 16,
) -> dict[Tensor, Range]:
    """The range of every activation of ``graph``.

    Args:
        images: float32 [N, C, H, W], preprocessed.
        method: "min-max"; "percentile" leaves out the outermost values, ``percentile`` % stay in
            between; "mse" picks the clipping with the smallest squared error. The latter two take
            a second pass, and outputs of the network keep their full range.

    Raises:
        DeployError: unknown method, or an activation is NaN or infinite (its layer is named).
    """
    if method not in METHODS:
        raise DeployError(
            f"unknown calibration method '{method}': choose one of {', '.join(METHODS)}"
        )
    full: dict[Tensor, Range] = {}
    for tensor, layer, values in _activations(graph, images, batch_size):
        low, high = (float(bound) for bound in torch.aminmax(values))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DeployError(
                f"layer '{layer}' gives NaN or infinity on the calibration images: "
                "train it again from a sound state, or check the preprocessing"
            )
        full[tensor] = Range(low, high).union(full[tensor]) if tensor in full else Range(low, high)
    if method == "min-max":
        return full
    kept = {graph.input, *graph.outputs}
    narrow = [t for t, r in full.items() if t not in kept and r.low < r.high]
    histograms = {tensor: np.zeros(_BINS) for tensor in narrow}
    for tensor, _, values in _activations(graph, images, batch_size):
        if tensor in histograms:
            low, high = full[tensor]
            histograms[tensor] += torch.histc(values, _BINS, low, high).double().numpy()
    ranges = dict(full)
    for tensor, histogram in histograms.items():
        if method == "percentile":
            ranges[tensor] = _percentile(histogram, full[tensor], percentile)
        else:
            ranges[tensor] = _least_error(histogram, full[tensor])
    return ranges


def _activations(
    graph: Graph, images: np.ndarray, batch_size: int
) -> Iterator[tuple[Tensor, str, torch.Tensor]]:
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


def _percentile(histogram: np.ndarray, values: Range, percentile: float) -> Range:
    """Cut (100 - percentile) / 2 % of the values at each end."""
    shares = np.cumsum(histogram) / histogram.sum()
    tail = (100 - percentile) / 200
    edges = np.linspace(values.low, values.high, _BINS + 1)
    low = edges[int(np.searchsorted(shares, tail, side="right"))]
    high = edges[min(int(np.searchsorted(shares, 1 - tail)) + 1, _BINS)]
    return Range(float(low), float(high))


def _least_error(histogram: np.ndarray, values: Range) -> Range:
    """The clipping that rounds and clips the histogram with the smallest squared error.

    The two ends are searched one after the other, over even steps of the full range.
    """
    edges = np.linspace(values.low, values.high, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2

    def error(low: float, high: float) -> float:
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / _LEVELS
        if step == 0:
            return float("inf")
        rounded = np.clip(np.rint((centres - low) / step), 0, _LEVELS) * step + low
        return float((histogram * (centres - rounded) ** 2).sum())

    shrink = np.linspace(1.0, 0.2, _CANDIDATES)
    low, high = values
    high = min((float(h) for h in high * shrink), key=lambda h: error(low, h)) if high > 0 else high
    low = min((float(v) for v in low * shrink), key=lambda v: error(v, high)) if low < 0 else low
    return Range(low, high)
