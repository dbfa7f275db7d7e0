#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nets of the same kinds as the reference models: do they reach the same MACs per instruction?

    python tools/bench_variants.py                                  # all, about 20 minutes
    python tools/bench_variants.py --peer small_32_int8 --output build/bench-variants.json

Every reference model is measured, then variants of it with other widths, depthwise kernels,
resolutions and classes (tools/engine_variants), each compiled, built, run once in the emulator and
compared with the TFLM interpreter. Two ratios, above 1 where the variant does better:

- ratio: the variant's MACs per instruction by those of the model that it is a variant of.
- same mix: the instructions that the variant's layers would take if every MAC, every output and
  every input element of an operator took what it takes in the reference models (least squares over
  their layers, operator by operator), by those that they take. Narrow layers make fewer MACs an
  output: that lowers the first ratio in any engine, and the second not. What the second shows is
  whether a shape suits the kernels less: a rest of pixels, channels, columns.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from engine_variants import Change, make_variant  # noqa: E402

from deploy.build.firmware import build_firmware  # noqa: E402
from deploy.codegen import plan_model, write_model  # noqa: E402
from deploy.devices import run_images  # noqa: E402
from deploy.evidence.bench.exact import equals_interpreter  # noqa: E402
from deploy.targets import Target, load_target  # noqa: E402
from deploy.tflite import read_graph  # noqa: E402
from deploy.tflite.tflm import tflm_available  # noqa: E402
from netbooster.common.errors import NetBoosterError  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402

PEERS = ROOT / "tests" / "data" / "peers"
LEAST = 0.9
VARIANTS: dict[str, tuple[Change, ...]] = {
    "small_32_int8": (
        *(Change(width=width) for width in (0.5, 0.75, 1.1, 1.25, 1.5, 2.0)),
        Change(width=0.75, multiple=8),
        *(Change(kernel=kernel) for kernel in (5, 7)),
        *(Change(resolution=side) for side in (28, 40, 48, 96)),
        *(Change(classes=classes) for classes in (2, 100, 1000)),
        Change(width=1.25, resolution=48, kernel=5, classes=100),
    ),
    "mbv2_tiny_144_int8": (
        *(Change(width=width) for width in (0.75, 1.1, 1.25)),
        *(Change(width=width, multiple=8) for width in (0.75, 1.4)),
        *(Change(kernel=kernel) for kernel in (5, 7)),
        *(Change(resolution=side) for side in (48, 96, 128, 160)),
        *(Change(classes=classes) for classes in (2, 100)),
    ),
    "mcunet_in3_176_int8": (
        *(Change(width=width) for width in (0.75, 1.1)),
        *(Change(kernel=kernel) for kernel in (3, 5, 7)),
        *(Change(resolution=side) for side in (48, 96, 128, 160)),
        Change(classes=10),
    ),
}
Costs = dict[str, np.ndarray]


def measure(
    data: bytes, name: str, target: Target, input_mode: str = "image", compare: bool = True
) -> dict[str, Any]:
    """One model with one random input; its dead channels stay, because random weights make other
    ones dead.

    Args:
        compare: the output with the TFLM interpreter's, where that is installed.

    Returns:
        What :func:`variant_row` shows. Every layer has ``kind``, what decides its inner loop, and
        ``amounts``, what explains its instructions: MACs, elements of the output, of the inputs.
    """
    compilation = plan_model(data, name=name, input_mode=input_mode, keep_dead=True)
    with tempfile.TemporaryDirectory(prefix="nb_variants_") as folder:
        place = Path(folder)
        write_model(compilation, place / "generated")
        built = build_firmware(place / "generated", target, place / "firmware.elf")
        shape = compilation.plan.input.shape
        image = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int8)
        result = run_images(target, place / "firmware.elf", image)
    exact = None
    if compare and tflm_available() is None:
        answer = result.outputs.tobytes()
        exact = equals_interpreter(data, compilation.original, [[image]], [answer])
    counts = {layer.symbol: layer.instructions for layer in result.layers}
    graph = read_graph(data, name)
    layers = []
    for op, planned in zip(graph.operators, compilation.plan.layers, strict=True):
        activations = [i for i in op.inputs if graph.tensors[i].data is None]
        kind = op.kind
        if kind.endswith("CONV_2D"):
            kind += " {1}x{2}".format(*graph.input(op, 1).shape)
        inputs = sum(graph.tensors[i].elements for i in activations)
        taken = counts[planned.symbol]
        layers.append({
            "kind": kind, "output_shape": planned.output_shape, "instructions": taken,
            "macs_per_instruction": round(planned.macs / taken, 4),
            "amounts": [planned.macs, graph.output(op).elements, inputs],
        })  # fmt: skip
    macs = sum(layer.macs for layer in compilation.plan.layers)
    return {
        "macs": macs, "instructions": result.instructions,
        "macs_per_instruction": round(macs / result.instructions, 4), "exact": exact,
        "ram": built.sizes.ram_static + result.memory.stack_used,
        "compiler": built.compiler, "flags": built.flags, "layers": layers,
    }  # fmt: skip


def fit_costs(records: list[dict[str, Any]]) -> Costs:
    """Instructions a MAC, an output and an input element, by kind of layer."""
    layers: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        for layer in record["layers"]:
            layers.setdefault(layer["kind"], []).append(layer)
    costs = {}
    for kind, own in layers.items():
        taken = np.array([layer["instructions"] for layer in own], float)
        amounts = np.array([layer["amounts"] for layer in own], float)
        costs[kind], _ = nnls(amounts / taken[:, None], np.ones(len(own)))
    return costs


def same_mix(record: dict[str, Any], costs: Costs) -> float:
    """Instructions by the reference models' costs, by those taken."""
    expected = sum(float(costs[layer["kind"]] @ layer["amounts"]) for layer in record["layers"])
    return expected / sum(layer["instructions"] for layer in record["layers"])


def variant_row(
    peer: str, reference: dict[str, Any], change: Change, record: dict[str, Any], costs: Costs
) -> dict[str, Any]:
    """What is printed and written of one variant."""
    ratio = record["macs_per_instruction"] / reference["macs_per_instruction"]
    return {
        "of": peer, "variant": change.name, "ratio": round(ratio, 4),
        "same_mix": round(same_mix(record, costs), 4), **record,
    }  # fmt: skip


def print_row(row: dict[str, Any]) -> None:
    """A line of the table."""
    exact = {True: "exact", False: "NOT EXACT", None: "not compared"}[row["exact"]]
    mark = " " if row["ratio"] >= LEAST else "<"
    print(
        f"{row['variant']:36} {row['macs']:>12,} {row['instructions']:>12,} "
        f"{row['macs_per_instruction']:8.3f} {row['ratio']:7.3f}{mark}{row['same_mix']:9.3f}"
        f"  {exact}",
        flush=True,
    )


def main() -> int:
    """Measure, print, write; exit code 1 where a byte is not TFLM's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", action="append", choices=VARIANTS, help="only variants of this")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("--input", choices=("image", "rows"), default="image")
    parser.add_argument("--target", default="mps2-an386")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-variants.json")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    try:
        target = load_target(arguments.target)
        files = {name: (PEERS / f"{name}.tflite").read_bytes() for name in VARIANTS}
        references = {
            name: measure(data, name, target, arguments.input) for name, data in files.items()
        }
        costs = fit_costs(list(references.values()))
        for peer in arguments.peer or VARIANTS:
            print(f"\n{peer:36} {'MACs':>12} {'instructions':>12} MAC/instr   ratio same mix")
            changes = [c for c in VARIANTS[peer] if arguments.only in c.name]
            rows.append(variant_row(peer, references[peer], Change(), references[peer], costs))
            print_row(rows[-1])
            for change in changes:
                data = make_variant(files[peer], change)
                record = measure(data, f"{peer}, {change.name}", target, arguments.input)
                rows.append(variant_row(peer, references[peer], change, record, costs))
                print_row(rows[-1])
    except (NetBoosterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    below = sum(row["ratio"] < LEAST for row in rows)
    print(f"\n{below} of {len(rows)} below {LEAST} (marked <)")
    content = {"target": target.name, "input": arguments.input, "least": LEAST, "rows": rows}
    write_atomic(arguments.output, json.dumps(content, indent=1) + "\n")
    print(f"written: {arguments.output}")
    return 1 if any(row["exact"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
