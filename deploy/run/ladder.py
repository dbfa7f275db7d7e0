# SPDX-License-Identifier: Apache-2.0
"""From a trained network to an int8 flatbuffer: which methods, in which order, until which drop."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.core.errors import DeployError
from deploy.core.stamps import hash_file
from deploy.run.folder import Run
from deploy.run.telling import Say

if TYPE_CHECKING:
    from deploy.quantize import QuantizedModel
    from deploy.run.model_io import TrainedModel

ROADS = ("writer", "onnx2tf")
METHODS = ("post-training", "equalized", "quantization-aware")  # in order of cost


@dataclass(frozen=True)
class Settings:
    """One way to quantize; the ranges follow from ``samples`` images by the method ``ranges``.

    Operators that only move data are refused without ``allow_moves``.
    """

    method: str
    ranges: str
    samples: int
    via: str = "writer"
    allow_moves: bool = False

    @property
    def label(self) -> str:
        """How it is called in messages."""
        road = "" if self.via == "writer" else f", via {self.via}"
        return f"{self.method}, {self.ranges}{road}"


@dataclass(frozen=True)
class Attempt:
    """What :func:`attempt` made; ``network`` is the float network that was trained.

    ``result`` is None where another road than our own writer was taken.
    """

    flatbuffer: bytes
    result: "QuantizedModel | None"
    network: "TrainedModel"
    settings: Settings
    hashes: dict[str, str]
    tried: tuple[dict[str, Any], ...] = ()


def ladder(first: Settings, max_drop: float | None) -> list[Settings]:
    """What to try, cheapest first; without a budget only what was asked for."""
    if max_drop is None:
        return [first]
    steps = []
    for method in METHODS[METHODS.index(first.method) :]:
        # Trained scales follow min-max; the others may gain from clipping.
        others = [] if method == METHODS[-1] else ["mse"]
        for ranges in dict.fromkeys([first.ranges, *others]):
            steps.append(replace(first, method=method, ranges=ranges))
    return steps


def choose(
    run: Run, first: Settings, max_drop: float | None, *, device: str = "cpu", say: Say
) -> Attempt:
    """Quantize, by the first method of the ladder whose validation accuracy drops little enough.

    Raises:
        DeployError: none does; names the best.
    """
    tried: list[dict[str, Any]] = []
    for settings in ladder(first, max_drop):
        made = attempt(run, settings, device=device, say=say)
        if max_drop is None:
            return made
        before, after = _accuracies(run, made)
        drop = 100 * (before - after)
        tried.append(_entry(settings) | {"val_accuracy": after, "drop_points": drop})
        say(
            "quantize",
            f"{run.name}: {settings.label}: {after:.2%} on the validation set, "
            f"{drop:+.2f} points lost of {before:.2%}",
        )
        if drop <= max_drop:
            return replace(made, tried=tuple(tried))
    best = min(tried, key=lambda entry: float(entry["drop_points"]))
    raise DeployError(
        f"{run.name}: no method keeps the drop within {max_drop:g} points; the best, "
        f"{best['method']} with {best['calibration']}, loses {best['drop_points']:.2f}: allow that "
        "with --max-drop, or fine-tune longer (quantization.fine_tuning.steps)"
    )


def _entry(settings: Settings) -> dict[str, Any]:
    """Settings in the words of recipes and model.json."""
    entry = asdict(settings)
    entry["calibration"] = entry.pop("ranges")
    return entry


def attempt(run: Run, settings: Settings, *, device: str = "cpu", say: Say) -> Attempt:
    """Quantize a run's network in one way; repeatable to the byte."""
    from deploy.quantize import quantize_network
    from deploy.run.model_io import calibration_images, fine_tuned, input_quantization, load_model

    trained = load_model(run.contracted)
    scale, zero_point = input_quantization(trained.preprocess)
    hashes = {
        "recipe": hash_file(run.recipe_file),
        "checkpoint": hash_file(run.contracted),
        "data": run.dataset.fingerprint(),
    }
    images = calibration_images(run.dataset, settings.samples)
    if len(images) < settings.samples:
        say(
            "quantize",
            f"{run.name}: only {len(images)} training images, not {settings.samples}, set ranges",
        )
        settings = replace(settings, samples=len(images))
    metadata = {
        "netbooster.labels": json.dumps(trained.labels),
        "netbooster.preprocess": json.dumps(trained.preprocess.to_dict(), sort_keys=True),
        "netbooster.checkpoint_sha256": hashes["checkpoint"],
        "netbooster.data_fingerprint": hashes["data"],
    }
    if settings.via == "onnx2tf":
        from deploy.quantize.via_onnx import convert_onnx, torch_to_onnx

        flatbuffer = convert_onnx(
            torch_to_onnx(trained.module, images.shape[1:]),
            images,
            name=run.name,
            log=run.folder / "onnx2tf.log",
            input_range=(scale * (-128 - zero_point), scale * (127 - zero_point)),
            allow_moves=settings.allow_moves,
            metadata=metadata,
        )
        return Attempt(flatbuffer, None, trained, settings, hashes)
    module, activations = trained.module, None
    if settings.method == METHODS[-1]:
        module, activations = fine_tuned(
            run.folder / "finetuned.pt",
            load_model(run.contracted).module,
            run.dataset,
            run.recipe,
            settings.samples,
            device,
        )
    result = quantize_network(
        module,
        images,
        input_scale=scale,
        input_zero_point=zero_point,
        calibration_method=settings.ranges,
        equalization=settings.method == "equalized",
        bias_correction=settings.method == "equalized",
        activations=activations,
        allow_moves=settings.allow_moves,
        metadata=metadata,
    )
    return Attempt(result.flatbuffer, result, trained, settings, hashes)


def _accuracies(run: Run, made: Attempt) -> tuple[float, float]:
    """Validation accuracy of the float network and of the generated C."""
    from deploy.build.host_model import HostModel, build_host
    from deploy.codegen import compile_model

    with tempfile.TemporaryDirectory(prefix="nb_quantize_") as folder:
        compile_model(made.flatbuffer, Path(folder), name=run.name)
        host = HostModel(build_host(Path(folder), Path(folder) / "model.so"))
    network = float_model(made.network)
    right = np.zeros(2, np.int64)
    count = 0
    for images, codes, labels in validation(run):
        for road, logits in enumerate(
            (network(images), host.invoke(codes).reshape(len(codes), -1))
        ):
            right[road] += int((logits.argmax(axis=1) == labels).sum())
        count += len(labels)
    if not count:
        raise DeployError(f"{run.name}: the validation set is empty; --max-drop needs one")
    return float(right[0] / count), float(right[1] / count)


def validation(
    run: Run, limit: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(normalized float32 [N, C, H, W], int8 [N, H, W, C], labels [N]) of the validation set."""
    from deploy.run.model_io import validation_batches

    return validation_batches(run.dataset, limit)


def float_model(network: "TrainedModel") -> Any:
    """A function from normalized images to logits, both numpy."""
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network.module(torch.from_numpy(images)).numpy())

    return run
