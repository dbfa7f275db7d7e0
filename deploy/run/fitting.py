# SPDX-License-Identifier: Apache-2.0
"""Does a network fit a target, and what of its kind would: answered before any training."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.run.folder import DEFAULT_TARGET

if TYPE_CHECKING:
    from deploy.evidence.fit import Fit

WIDTHS = [width / 20 for width in range(2, 41)]  # 0.10 to 2.00
_MOST_PIXELS = 320


@dataclass(frozen=True)
class Candidate:
    """A network of some size, and what it needs.

    Attributes:
        name: the network, or what sets it apart: the largest resolution, the largest width.
        resolution: pixels a side.
        fit: bytes of RAM and flash, MACs, estimated time, and whether it fits.
    """

    name: str
    resolution: int
    fit: "Fit"


@dataclass(frozen=True)
class Fitting:
    """An answer.

    Attributes:
        asked: the network as it was asked for.
        others: the largest of its kind that fit, by resolution and by width.
        errors: relative error of the estimated cycles on known models, by name.
    """

    asked: Candidate
    others: tuple[Candidate, ...]
    errors: dict[str, float]


def fit(
    model: str,
    *,
    target: str = DEFAULT_TARGET,
    resolution: int | None = None,
    classes: int = 1000,
    channels: int = 3,
) -> Fitting:
    """Whether a network fits flash and RAM, what would fit, and how long it would take.

    Memory is what the compiler's planner needs; time is an estimate from counted kernels.

    Args:
        model: name of a network.
        resolution: pixels a side. Default: the network's own.
        classes, channels: outputs, and 1 (grey) or 3 (RGB).

    Raises:
        NetBoosterError: unknown network, or a resolution below its total stride.
        DeployError: unknown target, or one whose kernels were not counted.
    """
    from deploy.evidence.fit import largest, load_costs
    from deploy.targets import load_target
    from netbooster.models import model_info

    board = load_target(target)
    info = model_info(model)
    wanted = resolution or info.default_resolution
    measure = _measure(model, target, classes, channels)
    asked = Candidate(model, wanted, measure(wanted, None))
    others = []
    sizes = list(range(info.min_resolution, max(_MOST_PIXELS, wanted) + 1, 16))
    best = largest(sizes, lambda size: measure(size, None))
    if best is not None:
        others.append(Candidate("largest resolution that fits", *best))
    if info.family == "MobileNetV2":
        widest = largest(WIDTHS, lambda width: measure(wanted, width))
        if widest is not None:
            name = f"widest that fits: width {widest[0]:.2f}"
            others.append(Candidate(name, wanted, widest[1]))
    assert board.cycles is not None  # the estimate has checked
    costs = load_costs(board.cycles.model)
    errors = {str(entry["model"]): float(entry["cycles_error"]) for entry in costs.errors}
    return Fitting(asked, tuple(others), errors)


def _measure(
    model: str, target: str, classes: int, channels: int
) -> "Callable[[int, float | None], Fit]":
    """What the network needs at a resolution and a width, each computed once."""
    from deploy.codegen import compile_model
    from deploy.evidence.fit import estimate
    from deploy.run.model_io import untrained_flatbuffer
    from deploy.targets import load_target

    @cache
    def measure(size: int, width: float | None) -> "Fit":
        data = untrained_flatbuffer(
            model, resolution=size, classes=classes, channels=channels, width=width
        )
        with tempfile.TemporaryDirectory(prefix="nb_fit_") as folder:
            plan = compile_model(data, Path(folder), name=model, keep_dead=True)
        return estimate(plan, load_target(target))

    return measure
