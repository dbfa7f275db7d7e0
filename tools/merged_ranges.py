# SPDX-License-Identifier: Apache-2.0
"""Ranges of the layers that contraction merges: are they harder to hold in 8 bits than vanilla's?

Part of study_quantization.py.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deploy.quantize import quantize_network
from deploy.quantize.calibrate import activations, channel_maxima
from deploy.quantize.ops.conv import Conv
from netbooster.data import Dataset
from netbooster.experiment.recipe import Recipe
from netbooster.giant.expansion import expanded_layers
from netbooster.methods import Job
from netbooster.methods.netbooster import build_giant
from netbooster.tasks import load_task


@dataclass(frozen=True)
class Spread:
    """Weights of a layer, batch norm folded in.

    Attributes:
        weight_db: signal to noise of their int8 codes, per output channel scales.
        peak: largest weight of a channel over its root mean square, mean over channels: 8 bits
            are spent on the largest.
        balance: median of the channels' largest outputs over the largest of all; one scale serves
            all channels of an activation.
        output_db: signal to noise of what int8 can hold of the layer's output range, as rounding
            noise of one step over the root mean square.
    """

    weight_db: float
    peak: float
    balance: float
    output_db: float


def merged_layers(recipe: Recipe, dataset: Dataset) -> list[str]:
    """Names of the layers that a boosted recipe expands and merges again."""
    job = Job(recipe, dataset, load_task(recipe.task), torch.device("cpu"))
    return [name for name, _ in expanded_layers(build_giant(job))]


def spreads(module: nn.Module, images: np.ndarray, layers: Sequence[str]) -> dict[str, Spread]:
    """Ranges of weights and outputs of some layers, on calibration ``images`` [N, C, H, W]."""
    result = quantize_network(module, images)
    maxima = channel_maxima(result.graph, images)
    squares: dict[Any, list[float]] = {}
    for tensor, _, values in activations(result.graph, images, 32):
        squares.setdefault(tensor, []).append(float(values.square().mean()))
    steps = {record.name: record.scale for record in result.tensors}
    found = {}
    for op in result.graph.ops:
        if not isinstance(op, Conv) or op.layer not in layers:
            continue
        rows = op.weight.reshape(len(op.weight), -1)
        largest = np.maximum(np.abs(rows).max(axis=1), 1e-30)
        scales = largest[:, None] / 127
        noise = ((np.rint(rows / scales) * scales - rows) ** 2).sum()
        power = np.sqrt(np.maximum((rows**2).mean(axis=1), 1e-60))
        channels = maxima[op.output]
        rounding = steps[op.output.name] ** 2 / 12
        found[op.layer] = Spread(
            weight_db=float(10 * np.log10((rows**2).sum() / max(noise, 1e-30))),
            peak=float((largest / power).mean()),
            balance=float(np.median(channels) / channels.max()),
            output_db=float(10 * np.log10(statistics.fmean(squares[op.output]) / rounding)),
        )
    return found


def compare_spreads(
    pairs: Sequence[tuple[dict[str, Spread], dict[str, Spread]]],
) -> dict[str, dict[str, float]]:
    """Each figure of :class:`Spread`: mean over layers and seeds, of both networks."""
    table = {}
    for key in asdict(next(iter(pairs[0][0].values()))):
        own = {
            kind: statistics.fmean(
                getattr(spread, key) for pair in pairs for spread in pair[place].values()
            )
            for place, kind in enumerate(("vanilla", "boosted"))
        }
        table[key] = own
    return table
