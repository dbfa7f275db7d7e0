#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does NetBooster's gain survive int8? Pairs of trained networks, float against generated C.

    python tools/study_quantization.py runs/tables-mini/seed0 runs/tables-mini/seed1 \
        runs/tables-mini/seed2 --out study.json

Each folder is a seed: it holds a vanilla and a boosted ``contracted.pt``, trained alike. For every
network the float accuracy (torch) and the int8 accuracy (the generated C, compiled for this
machine) are taken on the same test images, and with them

* what int8 costs each network, float − int8, mean over seeds;
* what int8 takes of the gain: gain(float) − gain(int8), paired image by image;
* how the weights of the layers that were merged differ from the same layers of vanilla.

Intervals are 95%: over seeds (Student's t), and over images (each image's difference, averaged
over seeds), which is the narrower and says nothing of other seeds. ``--method`` tries ways to
quantize; answers are kept in the folder ``--cache`` by the hash of the network and the generated C.
"""

import argparse
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from merged_ranges import compare_spreads, merged_layers, spreads  # noqa: E402

from deploy.build.host_model import HostModel, build_host  # noqa: E402
from deploy.codegen import compile_model  # noqa: E402
from deploy.core.errors import DeployError  # noqa: E402
from deploy.core.stamps import hash_file  # noqa: E402
from deploy.quantize import QuantizedModel, quantize_network  # noqa: E402
from deploy.run.model_io import (  # noqa: E402
    calibration_images,
    fine_tuned,
    input_quantization,
    load_model,
    test_batches,
)
from netbooster.common.errors import NetBoosterError  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402
from netbooster.data import Dataset, load_dataset  # noqa: E402
from netbooster.experiment.recipe import Recipe, load_recipe  # noqa: E402
from netbooster.experiment.statistics import interval  # noqa: E402

KINDS = ("vanilla", "boosted")
MOST_LOST = 0.2  # points of the gain, mean over seeds
MOST_DROP = 0.3  # points of accuracy, mean over seeds
METHODS = ("post-training", "equalized", "quantization-aware")


@dataclass(frozen=True)
class Method:
    """A way to quantize; ``calibration`` is one of ``CALIBRATION_METHODS``."""

    name: str
    calibration: str

    @property
    def label(self) -> str:
        """As it is given to ``--method``."""
        return f"{self.name}:{self.calibration}"


@dataclass(frozen=True)
class Network:
    """A trained network and the recipe that it came from."""

    path: Path
    recipe: Recipe


@dataclass(frozen=True)
class Answers:
    """Which test images a network got right, bool [N], in float and in int8."""

    float_right: np.ndarray
    int8_right: np.ndarray


def find_pair(folder: Path, names: tuple[str, str]) -> tuple[Network, Network]:
    """The vanilla and the boosted network of a seed.

    Raises:
        DeployError: one is missing.
    """
    found = []
    for kind, name in zip(KINDS, names, strict=True):
        run = folder / name
        if not (run / "contracted.pt").is_file():
            raise DeployError(
                f"{folder}: no {kind} network; looked for {name}/contracted.pt (choose another "
                f"with --{kind})"
            )
        recipe = load_recipe(str(run / "recipe.toml"))
        found.append(Network(run / "contracted.pt", recipe))
    return found[0], found[1]


def quantize(network: Network, dataset: Dataset, method: Method, cache: Path) -> QuantizedModel:
    """The network as int8, as ``netbooster quantize`` makes it."""
    trained = load_model(network.path)
    samples = network.recipe.quantization.calibration_samples
    scale, zero_point = input_quantization(trained.preprocess)
    module, activations = trained.module, None
    if method.name == "quantization-aware":
        path = cache / f"{hash_file(network.path)[:16]}-finetuned.pt"
        module, activations = fine_tuned(
            path, trained.module, dataset, network.recipe, samples, "cpu"
        )
    return quantize_network(
        module,
        calibration_images(dataset, samples),
        input_scale=scale,
        input_zero_point=zero_point,
        calibration_method=method.calibration,
        equalization=method.name == "equalized",
        bias_correction=method.name == "equalized",
        activations=activations,
    )


def answers(
    network: Network, method: Method, images: Sequence[tuple], dataset: Dataset, cache: Path
) -> Answers:
    """Run a network in float and as generated C on the host; kept in ``cache``."""
    import torch

    trained = load_model(network.path)
    result = quantize(network, dataset, method, cache)
    with tempfile.TemporaryDirectory(prefix="nb_study_") as name:
        folder = Path(name)
        compile_model(result.flatbuffer, folder, name="study")
        # By what runs, and not only by the network: quantization and compiler change, too.
        digest = hashlib.sha256(hash_file(network.path).encode())
        for source in sorted(path for path in folder.iterdir() if path.suffix in (".c", ".h")):
            digest.update(source.read_bytes())
        count = sum(len(labels) for _, _, labels in images)
        path = cache / f"{digest.hexdigest()[:24]}-{count}.npz"
        if path.is_file():
            stored = np.load(path)
            return Answers(stored["float_right"], stored["int8_right"])
        host = HostModel(build_host(folder, folder / "model.so"))
    right: list[list[np.ndarray]] = [[], []]
    with torch.inference_mode():
        for pixels, codes, labels in images:
            normalized = trained.preprocess.normalize(torch.from_numpy(pixels))
            logits = trained.module(normalized).numpy()
            right[0].append(logits.argmax(axis=1) == labels)
            right[1].append(host.invoke(codes).reshape(len(codes), -1).argmax(axis=1) == labels)
    found = Answers(np.concatenate(right[0]), np.concatenate(right[1]))
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, float_right=found.float_right, int8_right=found.int8_right)
    return found


def compare(pairs: Sequence[tuple[Answers, Answers]]) -> dict[str, Any]:
    """Points of accuracy: costs of int8, and what it takes of the gain, with 95% intervals.

    Args:
        pairs: vanilla and boosted of each seed, on the same images in the same order.
    """
    seeds, per_image = [], []
    for vanilla, boosted in pairs:
        floats = [100.0 * own.float_right.mean() for own in (vanilla, boosted)]
        ints = [100.0 * own.int8_right.mean() for own in (vanilla, boosted)]
        seeds.append(
            {
                "float": dict(zip(KINDS, floats, strict=True)),
                "int8": dict(zip(KINDS, ints, strict=True)),
                "drop": {kind: a - b for kind, a, b in zip(KINDS, floats, ints, strict=True)},
                "gain_float": floats[1] - floats[0],
                "gain_int8": ints[1] - ints[0],
                "lost": (floats[1] - floats[0]) - (ints[1] - ints[0]),
            }
        )
        signed = [own.astype(np.float64) for own in (
            boosted.float_right, vanilla.float_right, boosted.int8_right, vanilla.int8_right
        )]  # fmt: skip
        per_image.append(100.0 * ((signed[0] - signed[1]) - (signed[2] - signed[3])))
    means = np.mean(per_image, axis=0)
    lost, over_seeds = interval([float(seed["lost"]) for seed in seeds])
    drops = {}
    for kind in KINDS:
        mean, half = interval([float(seed["drop"][kind]) for seed in seeds])
        drops[kind] = {"mean": mean, "interval": _number(half)}
    return {
        "images": len(means),
        "seeds": seeds,
        "drop": drops,
        "lost": {
            "mean": lost,
            "interval_seeds": _number(over_seeds),
            "interval_images": 1.96 * float(means.std(ddof=1)) / math.sqrt(len(means)),
        },
        "keeps_gain": lost <= MOST_LOST,
        "keeps_accuracy": all(abs(drops[kind]["mean"]) <= MOST_DROP for kind in KINDS),
    }


def report(study: dict[str, Any], say: Callable[[str], None] = print) -> None:
    """The numbers as text."""
    for label, found in study["methods"].items():
        say(f"\n{label}: {found['images']:,} test images, {len(found['seeds'])} seeds")
        for number, seed in enumerate(found["seeds"]):
            cells = [
                f"{kind} {seed['float'][kind]:.2f}% -> {seed['int8'][kind]:.2f}% "
                f"({-seed['drop'][kind]:+.2f})"
                for kind in KINDS
            ]
            say(
                f"  pair {number}: {', '.join(cells)}; gain {seed['gain_float']:+.2f} -> "
                f"{seed['gain_int8']:+.2f}"
            )
        for kind in KINDS:
            own = found["drop"][kind]
            say(f"  float - int8, {kind}: {own['mean']:+.3f} ± {_text(own['interval'])} points")
        lost = found["lost"]
        say(
            f"  gain lost: {lost['mean']:+.3f} points; 95%: ± {lost['interval_images']:.3f} over "
            f"images, ± {_text(lost['interval_seeds'])} over seeds"
        )
        say(
            f"  at most {MOST_LOST} of the gain lost: {_yes(found['keeps_gain'])}; at most "
            f"{MOST_DROP} between float and int8: {_yes(found['keeps_accuracy'])}"
        )
    layers = study.get("merged_layers", [])
    if layers:
        say(f"\nthe {len(layers)} merged layers, mean over layers and seeds: vanilla, boosted")
        for key, own in study["spreads"].items():
            say(f"  {key:10} {own['vanilla']:8.3f} {own['boosted']:8.3f}")


def _number(value: float) -> float | None:
    """JSON knows no nan, which an interval over one seed is."""
    return None if math.isnan(value) else value


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def parse_method(text: str) -> Method:
    """``METHOD:CALIBRATION``."""
    name, _, calibration = text.partition(":")
    from deploy.quantize import CALIBRATION_METHODS as CALIBRATIONS

    if name not in METHODS or calibration not in CALIBRATIONS:
        raise DeployError(
            f"--method {text}: give METHOD:CALIBRATION, of {', '.join(METHODS)} and "
            f"{', '.join(CALIBRATIONS)}"
        )
    return Method(name, calibration)


def study(
    folders: Sequence[Path],
    names: tuple[str, str],
    methods: Sequence[Method],
    cache: Path,
    *,
    limit: int | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything that :func:`report` prints."""
    pairs = [find_pair(folder, names) for folder in folders]
    data = pairs[0][0].recipe.data
    dataset = load_dataset(data)
    fingerprint = dataset.fingerprint()
    for network in (network for pair in pairs for network in pair):
        if load_dataset(network.recipe.data).fingerprint() != fingerprint:
            raise DeployError(f"{network.path}: trained on other data than {pairs[0][0].path}")
    images = list(test_batches(dataset, limit))
    found: dict[str, Any] = {"format": 1, "methods": {}}
    for method in methods:
        told = []
        for folder, pair in zip(folders, pairs, strict=True):
            own = [answers(network, method, images, dataset, cache) for network in pair]
            say(f"[study] {method.label}: {folder} done")
            told.append((own[0], own[1]))
        found["methods"][method.label] = compare(told)
    layers = merged_layers(pairs[0][1].recipe, dataset)
    ranges = []
    for pair in pairs:
        samples = min(128, pair[0].recipe.quantization.calibration_samples)
        own = [
            spreads(load_model(network.path).module, calibration_images(dataset, samples), layers)
            for network in pair
        ]
        ranges.append((own[0], own[1]))
    found["merged_layers"] = layers
    found["spreads"] = compare_spreads(ranges)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, metavar="SEED_FOLDER")
    parser.add_argument("--vanilla", default="mini-table1-mobilenetv2-tiny-vanilla")
    parser.add_argument("--boosted", default="mini-table1-mobilenetv2-tiny-netbooster")
    parser.add_argument("--method", action="append", help="default: post-training:min-max")
    parser.add_argument("--limit", type=int, help="test images; default: all")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "study-quantization")
    parser.add_argument("--out", type=Path, help="write the numbers into this JSON file")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(chosen.threads)
    try:
        methods = [parse_method(text) for text in chosen.method or ["post-training:min-max"]]
        found = study(
            chosen.folders,
            (chosen.vanilla, chosen.boosted),
            methods,
            chosen.cache,
            limit=chosen.limit,
        )
    except (DeployError, NetBoosterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report(found)
    if chosen.out is not None:
        write_atomic(chosen.out, json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
