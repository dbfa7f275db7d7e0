#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our engine beside other runtimes: instructions, RAM and flash of the same models.

    python tools/bench_engine.py                          # three models, about 30 minutes
    python tools/bench_engine.py tests/data/peers/small_32_int8.tflite --output small.json

Ours and bakenn (PyPI; portable and CMSIS-NN back ends, installed into a virtual environment of its
own) are built with the same compiler and run in the same emulator under the same counter and the
same serial harness; so is TFLM where --tflm-lib names a folder with a built library. Other figures
of TFLM and TinyEngine are saved ones (tools/engine_peers/saved.json, with date and method) and are
marked so. Writes JSON and an SVG.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from engine_peers import bakenn, picture, run, tflm  # noqa: E402
from engine_peers.adapt import adapt  # noqa: E402

from deploy.build.firmware import build_firmware  # noqa: E402
from deploy.core.errors import DeployError  # noqa: E402
from deploy.evidence.bench import Settings, bench_model  # noqa: E402
from deploy.schedule.memory import arena_limit  # noqa: E402
from deploy.targets import Target, load_target  # noqa: E402
from netbooster.common.errors import NetBoosterError  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402

MODELS = ("small_32_int8", "mbv2_tiny_144_int8", "mcunet_in3_176_int8")
SAVED = ROOT / "tools" / "engine_peers" / "saved.json"


def ours(data: bytes, name: str, target: Target) -> list[dict[str, Any]]:
    """Our engine, with the whole image in RAM and with the image pushed by rows."""
    rows = []
    for mode in ("image", "rows"):
        compiling = {"input_mode": mode, "limit": arena_limit(target)}
        record = bench_model(data, name, target, Settings(compiling))
        flash = record["flash"]
        rows.append({
            "model": name, "runtime": f"NetBooster, input by {mode}", "ours": True, "saved": False,
            "instructions": record["instructions"],
            "cycles_estimated": record["cycles_estimated"],
            "macs": record["macs"], "ram": record["ram"]["total"],
            "code": flash["code"], "model_bytes": flash["weights"] + flash["tables"],
            "exact": record["exact"], "compiler": record["compiler"], "flags": record["flags"],
        })  # fmt: skip
    return rows


def with_bakenn(
    data: bytes, name: str, target: Target, python: Path, macs: int
) -> list[dict[str, Any]]:
    """bakenn's two back ends on the model, adapted to its importer."""
    adapted = adapt(data)
    rows = []
    for backend in bakenn.BACKENDS:
        with tempfile.TemporaryDirectory(prefix="nb_bakenn_") as folder:
            place = Path(folder)
            generated = bakenn.generate(python, adapted, backend, place / "made")
            own = run.peer_target(target, place)
            build_firmware(generated, own, place / "firmware.elf")
            found = run.measure(place / "firmware.elf", adapted, own)
        rows.append({
            "model": name, "runtime": f"bakenn {bakenn.VERSION}, {backend}", "ours": False,
            "saved": False, "macs": macs, "variant": "adapted to its importer", **found,
        })  # fmt: skip
    return rows


def with_tflm(
    data: bytes, name: str, target: Target, tree: Path, macs: int
) -> list[dict[str, Any]]:
    """A prebuilt TFLM library on the model as it is."""
    with tempfile.TemporaryDirectory(prefix="nb_tflm_") as folder:
        place = Path(folder)
        own = tflm.peer_target(target, place)
        elf = tflm.build(tree, data, own, place)
        found = run.measure(elf, data, own, reserved=tflm.ARENA_BYTES)
    row = {"model": name, "runtime": f"TFLM from {tree.resolve().name}", "ours": False}
    return [{**row, "saved": False, "macs": macs, **found}]


def saved(name: str, live: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Saved figures; bakenn's only where it did not run now."""
    content = json.loads(SAVED.read_text())
    ran = any(row["runtime"].startswith("bakenn") for row in live)
    return [
        {**row, "ours": False, "saved": content["saved"]}
        for row in content["rows"]
        if row["model"] == name and not (ran and row["runtime"].startswith("bakenn"))
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line a runtime, in Markdown."""
    print("| model | runtime | instructions | MAC/instr | cycles (est.) | RAM B | code B | exact |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['model']} | {row['runtime']}{' *' if row['saved'] else ''} "
            f"| {row['instructions']:,} | {row['macs'] / row['instructions']:.3f} "
            f"| {row['cycles_estimated']:,} | {row['ram']:,} | {row['code']:,} "
            f"| {'yes' if row['exact'] else 'no'} |"
        )
    if any(row["saved"] for row in rows):
        print(f"\n\\* saved {json.loads(SAVED.read_text())['saved']}, not run now")


def main() -> int:
    """Run what can be run, print, write; exit code 1 where our bytes are not TFLM's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="FILE.tflite")
    parser.add_argument("--target", default="mps2-an386")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-engine.json")
    parser.add_argument("--picture", type=Path, help="default: the output's name with .svg")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "bakenn-venv")
    parser.add_argument("--tflm-lib", type=Path, metavar="DIR", help="TFLM's folder, built")
    parser.add_argument("--no-bakenn", action="store_true", help="leave bakenn out")
    arguments = parser.parse_args()
    peers = ROOT / "tests" / "data" / "peers"
    models = arguments.models or [peers / f"{name}.tflite" for name in MODELS]
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    try:
        target = load_target(arguments.target)
        python = None
        if not arguments.no_bakenn:
            try:
                python = bakenn.install(arguments.venv)
            except bakenn.PeerUnavailableError as reason:
                skipped["bakenn"] = str(reason)
        for path in models:
            data = path.read_bytes()
            live = ours(data, path.stem, target)
            macs = live[0]["macs"]
            for peer, place, add in (
                ("bakenn", python, with_bakenn), ("TFLM", arguments.tflm_lib, with_tflm)
            ):  # fmt: skip
                if place is not None:
                    try:
                        live += add(data, path.stem, target, place, macs)
                    except (bakenn.PeerUnavailableError, DeployError) as reason:
                        skipped[f"{peer} on {path.stem}"] = str(reason)
            rows += live + saved(path.stem, live)
    except (NetBoosterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_table(rows)
    for peer, why in skipped.items():
        print(f"not run: {peer}: {why}", file=sys.stderr)
    method = json.loads(SAVED.read_text())["method"]
    record = {"target": target.name, "rows": rows, "not_run": skipped, "saved_method": method}
    write_atomic(arguments.output, json.dumps(record, indent=1) + "\n")
    drawn = arguments.picture or arguments.output.with_suffix(".svg")
    write_atomic(drawn, picture.render(rows))
    print(f"\nwritten: {arguments.output}, {drawn}")
    return 1 if any(row["ours"] and row["exact"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
