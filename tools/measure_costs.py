#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the kernels cost on the emulated core, for `netbooster fit`.

    python tools/measure_costs.py                 # networks of the project, then known models
    python tools/measure_costs.py --target mps2-an386

Each network runs once on the emulator layer by layer and once as the compiler schedules it, in
streams of rows; executed instructions and estimated cycles of every layer are fitted, kernel by
kernel, to what `deploy.evidence.fit.features` lists, by non-negative least squares of the relative
error. The models in tests/data/peers are not fitted to: the error on them, as the compiler
schedules them, is what `netbooster fit` reports as its own. Run it again when a kernel or the
planner changes.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.build.firmware import build_firmware  # noqa: E402
from deploy.codegen import Plan, compile_model  # noqa: E402
from deploy.devices import run_images  # noqa: E402
from deploy.evidence.fit import features  # noqa: E402
from deploy.run.model_io import untrained_flatbuffer  # noqa: E402
from deploy.targets import load_target  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402

NETWORKS = (("mobilenetv2-tiny", 32), ("mobilenetv2-tiny", 64), ("mcunet-in3", 48))
PEERS = ("small_32_int8", "mbv2_tiny_144_int8", "mcunet_in3_176_int8")


def measure(
    data: bytes, name: str, target: Any, schedule: str = "auto"
) -> tuple[Plan, dict[str, Any]]:
    """One inference on the emulator: counts by layer, sizes of the firmware."""
    with tempfile.TemporaryDirectory(prefix="nb_costs_") as folder:
        generated, elf = Path(folder) / "generated", Path(folder) / "firmware.elf"
        plan = compile_model(data, generated, name=name, schedule=schedule)
        sizes = build_firmware(generated, target, elf).sizes
        shape = plan.input.shape[1:]
        image = np.random.default_rng(0).integers(-128, 128, (1, *shape)).astype(np.int8)
        result = run_images(target, elf, image)
    counts = {layer.symbol: layer for layer in result.layers}
    return plan, {
        "counts": [counts[layer.symbol] for layer in plan.layers],
        "instructions": result.instructions,
        "cycles": result.cycles_estimated,
        "code": sizes.code,
        "static": sizes.ram_static - sizes.arena,
        "stack": result.memory.stack_used,
    }


def fit_kernels(measured: list[tuple[Plan, dict[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Coefficients by kernel, for instructions and cycles."""
    rows: dict[str, list[tuple[list[float], float, float]]] = {}
    for plan, record in measured:
        for layer, count in zip(plan.layers, record["counts"], strict=True):
            row = (features(plan, layer), count.instructions, count.cycles_estimated)
            rows.setdefault(layer.kernel, []).append(row)
    fitted = {}
    for kernel, own in sorted(rows.items()):
        matrix = np.array([row[0] for row in own])
        fitted[kernel] = {}
        for column, key in ((1, "instructions"), (2, "cycles")):
            values = np.array([row[column] for row in own], float)
            found, _ = nnls(matrix / values[:, None], np.ones(len(own)))
            fitted[kernel][key] = [float(f"{value:.6g}") for value in found]
    return fitted


def summarize(
    target: Any,
    measured: list[tuple[Plan, dict[str, Any]]],
    known: dict[str, tuple[Plan, dict[str, Any]]],
) -> dict[str, Any]:
    """The content of the costs file: fitted to ``measured``, with its errors on ``known``."""
    kernels = fit_kernels(measured)
    layers = np.array([[1, len(plan.layers)] for plan, _ in measured], float)
    code, _ = nnls(layers, np.array([record["code"] for _, record in measured], float))
    errors = []
    for name, (plan, record) in known.items():
        entry: dict[str, Any] = {"model": name}
        for key in ("instructions", "cycles"):
            estimate = sum(
                np.dot(kernels[layer.kernel][key], features(plan, layer)) for layer in plan.layers
            )
            entry[key] = record[key]
            entry[f"{key}_error"] = float(f"{estimate / record[key] - 1:.4g}")
        errors.append(entry)
    records = [record for _, record in [*measured, *known.values()]]
    return {
        "format": 1,
        "target": target.name,
        "core": target.cycles.model,
        "kernels": kernels,
        "code_bytes": {"fixed": float(round(code[0])), "layer": float(round(code[1], 1))},
        "static_bytes": max(record["static"] for record in records),
        "stack_bytes": max(record["stack"] for record in records),
        "errors": errors,
    }


def main() -> None:
    """Measure, fit, write deploy/evidence/fit/costs-<cycle model>.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="mps2-an386")
    target = load_target(parser.parse_args().target)
    assert target.cycles is not None
    measured = []
    for name, resolution in NETWORKS:
        data = untrained_flatbuffer(name, resolution=resolution, classes=100, channels=3)
        for schedule in ("layer", "auto"):
            found = measure(data, f"{name}-{resolution}", target, schedule)
            measured.append(found)
            count = found[1]["instructions"]
            print(name, resolution, schedule, f"{count:,} instructions", flush=True)
    # None of these sums needs the arithmetic of the reference, a few elsewhere do.
    name, resolution = NETWORKS[0]
    with patch("deploy.tflite.ops.sum.find_weighted_sum", return_value=None):
        data = untrained_flatbuffer(name, resolution=resolution, classes=100, channels=3)
        measured.append(measure(data, f"{name}-{resolution}", target))
    known = {
        name: measure(
            (ROOT / "tests" / "data" / "peers" / f"{name}.tflite").read_bytes(), name, target
        )
        for name in PEERS
    }
    content = summarize(target, measured, known)
    for entry in content["errors"]:
        print(entry)
    path = ROOT / "deploy" / "evidence" / "fit" / f"costs-{target.cycles.model}.json"
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
