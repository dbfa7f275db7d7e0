# SPDX-License-Identifier: Apache-2.0
"""Does a network fit a target, and how long would it take: answered before any training.

Memory comes from the compiler's own planner on the quantized network; weights are the only part
that does not matter for it. Time comes from the counted cost of the kernels: ``costs-*.json``,
which ``tools/measure_costs.py`` writes, with the error of the estimate on models that it was not
fitted to. Code and static memory are taken from the firmwares that were measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from deploy.codegen import Extent, Plan, PlannedLayer
from deploy.core.errors import DeployError
from deploy.targets import Target

_T = TypeVar("_T", int, float)
_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Costs:
    """Counted costs of a core's kernels.

    Attributes:
        kernels: kernel → {"instructions" | "cycles": coefficients of :func:`features`}.
        code_fixed, code_layer: flash beyond weights and tables, bytes, and for each layer.
        static_bytes, stack_bytes: RAM beside the arena.
        errors: relative error of the estimate on each known model.
    """

    kernels: dict[str, dict[str, list[float]]]
    code_fixed: float
    code_layer: float
    static_bytes: int
    stack_bytes: int
    errors: list[dict[str, Any]]

    @property
    def largest_error(self) -> float:
        """The largest relative error in cycles on the known models."""
        return max(abs(entry["cycles_error"]) for entry in self.errors)


@dataclass(frozen=True)
class Fit:
    """What a compiled network would need on a target; bytes, and estimated time.

    Attributes:
        ram_bytes: arena, static variables and the stack's high-water mark.
        flash_bytes: weights, tables and code.
    """

    arena_bytes: int
    ram_bytes: int
    ram_available: int
    flash_bytes: int
    flash_available: int
    macs: int
    instructions: int
    cycles: int
    latency_ms: float

    @property
    def fits(self) -> bool:
        """Whether both memories hold it."""
        return self.ram_bytes <= self.ram_available and self.flash_bytes <= self.flash_available

    @property
    def verdict(self) -> str:
        """``fits``, or what is missing."""
        lacks = [
            f"{needed - available:,} B of {memory}"
            for needed, available, memory in (
                (self.flash_bytes, self.flash_available, "flash"),
                (self.ram_bytes, self.ram_available, "RAM"),
            )
            if needed > available
        ]
        return f"lacks {' and '.join(lacks)}" if lacks else "fits"


def features(plan: Plan, layer: PlannedLayer) -> list[float]:
    """What a kernel's cost grows with.

    MACs, output and input elements, calls, and channels prepared anew at each call: a layer that
    streams is called for a few rows at a time.
    """
    height = layer.output_shape[1] if len(layer.output_shape) == 4 else 1
    calls = 1 if layer.stream < 0 else math.ceil(height / layer.batch)
    outputs = math.prod(layer.output_shape)
    inputs = sum(_whole_bytes(plan, layer, extent) for extent in layer.inputs)
    return [float(n) for n in (layer.macs, outputs, inputs, calls, calls * layer.output_shape[-1])]


def _whole_bytes(plan: Plan, layer: PlannedLayer, extent: Extent) -> int:
    """Of the tensor that a layer reads in an extent of the arena, however few rows lie there."""
    place = (extent.offset, extent.bytes)
    for tensor in plan.tensors:
        alive = tensor.first < layer.index <= tensor.last
        if alive and (tensor.offset, tensor.resident_bytes) == place:
            return tensor.bytes
    return extent.bytes  # an input of the model that the plan does not place


@cache
def load_costs(core: str) -> Costs:
    """The counted costs for a cycle model.

    Raises:
        DeployError: nobody has measured it.
    """
    path = _FOLDER / f"costs-{core}.json"
    if not path.is_file():
        raise DeployError(
            f"no counted costs for {core}: python tools/measure_costs.py --target TARGET makes them"
        )
    content = json.loads(path.read_text())
    return Costs(
        content["kernels"],
        content["code_bytes"]["fixed"],
        content["code_bytes"]["layer"],
        content["static_bytes"],
        content["stack_bytes"],
        content["errors"],
    )


def estimate(plan: Plan, target: Target) -> Fit:
    """Memory and time of a compiled network on a target.

    Raises:
        DeployError: the target has no memories or no cycle model, or a kernel was never counted.
    """
    if target.flash is None or target.ram is None or target.cycles is None:
        raise DeployError(f"target {target.name} has no memories to fit into; choose a board")
    costs = load_costs(target.cycles.model)
    totals = {"instructions": 0.0, "cycles": 0.0}
    for layer in plan.layers:
        if layer.kernel not in costs.kernels:
            raise DeployError(
                f"kernel {layer.kernel} has no counted cost: python tools/measure_costs.py"
            )
        for key in totals:
            coefficients = costs.kernels[layer.kernel][key]
            pairs = zip(coefficients, features(plan, layer), strict=True)
            totals[key] += sum(factor * value for factor, value in pairs)
    code = costs.code_fixed + costs.code_layer * len(plan.layers)
    return Fit(
        arena_bytes=plan.arena_bytes,
        ram_bytes=plan.arena_bytes + costs.static_bytes + costs.stack_bytes,
        ram_available=target.ram.length,
        flash_bytes=plan.weights_bytes + plan.tables_bytes + round(code),
        flash_available=target.flash.length,
        macs=sum(layer.macs for layer in plan.layers),
        instructions=round(totals["instructions"]),
        cycles=round(totals["cycles"]),
        latency_ms=totals["cycles"] / target.clock_hz * 1000,
    )


def largest(choices: Sequence[_T], fits: Callable[[_T], Fit]) -> tuple[_T, Fit] | None:
    """The largest of rising ``choices`` that fits, by bisection; None where none does."""
    low, high, best = 0, len(choices) - 1, None
    while low <= high:
        middle = (low + high) // 2
        found = fits(choices[middle])
        if found.fits:
            best, low = (choices[middle], found), middle + 1
        else:
            high = middle - 1
    return best
