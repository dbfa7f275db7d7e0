#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Both roads to a flatbuffer on trained networks: our writer against ONNX, onnx2tf, TensorFlow.

    .venv-onnx/bin/python tools/compare_roads.py runs/tables-mini/seed*/mini-table1-*-vanilla

Each RUN holds a ``contracted.pt``, or is a folder of such runs. Both roads calibrate on the
same images. Printed for each network: whether the operators are the same, signal to noise of the
network's output in the TFLM interpreter against float torch in dB, and accuracy on the same test
images; then the mean difference with a 95% interval over networks (Student's t). Needs the extra
[onnx]: ``make onnx`` makes .venv-onnx.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.core.errors import DeployError  # noqa: E402
from deploy.quantize import quantize_network  # noqa: E402
from deploy.quantize.via_onnx import convert_onnx, torch_to_onnx  # noqa: E402
from deploy.run.model_io import (  # noqa: E402
    calibration_images,
    input_quantization,
    load_model,
    test_batches,
)
from deploy.tflite import parse_graph  # noqa: E402
from deploy.tflite.tflm import TflmModel  # noqa: E402
from netbooster.common.errors import NetBoosterError  # noqa: E402
from netbooster.common.files import write_atomic  # noqa: E402
from netbooster.data import load_dataset  # noqa: E402
from netbooster.experiment.recipe import load_recipe  # noqa: E402
from netbooster.experiment.statistics import interval  # noqa: E402

ROADS = ("own", "onnx2tf")


def networks(run: Path) -> list[Path]:
    """The trained networks of a run folder.

    Raises:
        DeployError: there is none.
    """
    found = sorted([*run.glob("contracted.pt"), *run.glob("*/contracted.pt")])
    if not found:
        raise DeployError(f"{run}: no contracted.pt; give the folder of a finished run")
    return found


def compare(path: Path, recipe_file: Path, limit: int) -> dict[str, Any]:
    """One network by both roads."""
    import torch

    recipe = load_recipe(str(recipe_file))
    dataset = load_dataset(recipe.data)
    trained = load_model(path)
    calibration = np.array(calibration_images(dataset, recipe.quantization.calibration_samples))
    scale, zero_point = input_quantization(trained.preprocess)
    bounds = scale * (-128 - zero_point), scale * (127 - zero_point)
    # convert_onnx sets two pixels to the input's bounds; both roads shall see the same images.
    calibration[0].reshape(-1)[[0, -1]] = bounds
    own = quantize_network(
        trained.module, calibration, input_scale=scale, input_zero_point=zero_point
    ).flatbuffer
    with tempfile.TemporaryDirectory(prefix="nb_roads_") as folder:
        other = convert_onnx(
            torch_to_onnx(trained.module, calibration.shape[1:]),
            calibration,
            name=path.name,
            log=Path(folder) / "log.txt",
            input_range=bounds,
        )
    graphs = [parse_graph(data, name) for data, name in zip((own, other), ROADS, strict=True)]
    models = [TflmModel(data) for data in (own, other)]
    signal, noise, right, images = 0.0, [0.0, 0.0], [0, 0, 0], 0
    for pixels, codes, labels in test_batches(dataset, limit):
        with torch.inference_mode():
            normalized = trained.preprocess.normalize(torch.from_numpy(pixels))
            logits = trained.module(normalized).numpy().astype(np.float64)
        answers = [logits]
        signal += float((logits**2).sum())
        for road, (model, graph) in enumerate(zip(models, graphs, strict=True)):
            quantization = graph.tensors[graph.outputs[0]].quantization
            assert quantization is not None
            found = np.stack([model.invoke(code[None]).reshape(-1) for code in codes])
            real = (found.astype(np.float64) - quantization.zero_points[0]) * quantization.scales[0]
            noise[road] += float(((real - logits) ** 2).sum())
            answers.append(real)
        for place, answer in enumerate(answers):
            right[place] += int((answer.argmax(axis=1) == labels).sum())
        images += len(labels)
    kinds = [[op.kind for op in graph.operators] for graph in graphs]
    return {
        "network": str(path),
        "same_operators": kinds[0] == kinds[1],
        "images": images,
        "db": {
            road: 10 * float(np.log10(signal / n)) for road, n in zip(ROADS, noise, strict=True)
        },
        "accuracy": {
            name: 100.0 * count / images
            for name, count in zip(("float", *ROADS), right, strict=True)
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--limit", type=int, default=2048, help="test images of each network")
    parser.add_argument("--out", type=Path, help="write the numbers into this JSON file")
    chosen = parser.parse_args(arguments)
    found = []
    try:
        for path in [path for run in chosen.runs for path in networks(run)]:
            found.append(compare(path, path.parent / "recipe.toml", chosen.limit))
            db, accuracy = found[-1]["db"], found[-1]["accuracy"]
            print(
                f"{path}: operators {'the same' if found[-1]['same_operators'] else 'DIFFER'}; "
                f"output {db['own']:.2f} dB, onnx2tf {db['onnx2tf']:.2f} dB; accuracy float "
                f"{accuracy['float']:.2f}%, {accuracy['own']:.2f}%, {accuracy['onnx2tf']:.2f}%",
                flush=True,
            )
    except (DeployError, NetBoosterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for what, unit in (("db", "dB"), ("accuracy", "points")):
        mean, half = interval([own[what]["own"] - own[what]["onnx2tf"] for own in found])
        print(f"ours - onnx2tf, {what}: {mean:+.3f} ± {half:.3f} {unit}, {len(found)} networks")
    if chosen.out is not None:
        write_atomic(chosen.out, json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
