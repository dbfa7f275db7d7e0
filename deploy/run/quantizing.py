# SPDX-License-Identifier: Apache-2.0
"""The stage that quantizes: of a run, or of a network from elsewhere."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import DeployError
from deploy.core.stamps import Stamp, hash_file
from deploy.run.folder import Run, chosen_in, need, runs_in
from deploy.run.ladder import METHODS, ROADS, Settings, choose
from deploy.run.own_network import quantize_file
from deploy.run.results import Quantized
from deploy.run.selection import copy_selected
from deploy.run.telling import Say, teller
from netbooster.common.files import read_bytes, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console


def quantize(
    source: str | Path,
    *,
    method: str | None = None,
    ranges: str | None = None,
    samples: int | None = None,
    max_drop: float | None = None,
    via: str | None = None,
    allow_moves: bool = False,
    images: "str | Path | np.ndarray | None" = None,
    weights: str | Path | None = None,
    input_scale: float = 1 / 128,
    input_zero_point: int = 0,
    output: str | Path | None = None,
    device: str = "cpu",
    force: bool = False,
    console: "Console | None" = None,
) -> Quantized:
    """Write an int8 .tflite: int8 in and out, per-channel weights, TFLM operators only.

    Args:
        source: a run or comparison (all its runs), ``FILE.onnx``, or ``FILE.py:NAME``: an
            ``nn.Module``, or a class or function that makes one without arguments.
        method: post-training, equalized, or (of a run) quantization-aware. Default: the recipe's.
        ranges: how the ranges of the activations are set: min-max, percentile, entropy or mse.
        samples: training images that set them. Default: the recipe's.
        max_drop: points of validation accuracy that int8 may lose; methods are tried in order of
            cost until one loses no more. Default: the recipe's.
        via: writer (ours), or onnx2tf (ONNX and TensorFlow, extra ``[onnx]``).
        allow_moves: accept operators that only move data (PAD, RESHAPE and the like).
        images: of a network from elsewhere: preprocessed training images, float32 [N, C, H, W],
            as an array or a .npy file; or a folder of pictures of the network's size.
        weights: state dictionary for ``FILE.py:NAME``.
        input_scale, input_zero_point: of the int8 input of a network from elsewhere.
        output: the .tflite of a network from elsewhere. Default: beside the file.
        device: where quantization-aware fine-tuning runs.
        force: also where it is up to date.
        console: where progress is shown; None is silent.

    Returns:
        What was made; of a comparison, that of the selected run.

    Raises:
        DeployError: one line that names the layer, the images or the option, and the remedy.
        NetBoosterError: the run's data or network cannot be read.
    """
    say = teller(console)
    for what, word, known in (("method", method, METHODS), ("road", via, ROADS)):
        if word is not None and word not in known:
            raise DeployError(f"unknown {what} '{word}'; choose one of {', '.join(known)}")
    folder = Path(source)
    if folder.is_file() or not folder.exists():
        if samples is not None or max_drop is not None:
            raise DeployError("--samples and --max-drop need a run, which has labelled images")
        return quantize_file(
            str(source),
            images,
            method=method or METHODS[0],
            ranges=ranges or "min-max",
            via=via,
            allow_moves=allow_moves,
            weights=None if weights is None else Path(weights),
            input_scale=input_scale,
            input_zero_point=input_zero_point,
            output=None if output is None else Path(output),
            say=say,
        )
    if any(option is not None for option in (images, weights, output)):
        raise DeployError(
            "--images, --weights and --output are for a network from elsewhere; a run has its own"
        )
    for run in runs_in(folder):
        recipe = run.recipe.quantization
        first = Settings(
            method or recipe.method,
            ranges or recipe.calibration,
            samples or recipe.calibration_samples,
            via or ROADS[0],
            allow_moves,
        )
        budget = recipe.max_drop if max_drop is None else max_drop
        _check_road(first, budget)
        need(run.contracted, f"train {run.recipe_file} --output {run.folder}")
        _quantize_run(run, first, budget, device, force, say)
    copy_selected(folder)
    return read_quantized(chosen_in(folder))


def read_quantized(run: Run) -> Quantized:
    """A run's flatbuffer as it was made.

    Raises:
        DeployError: there is none, or what was written down about it is damaged.
    """
    for path in (run.tflite, run.model_json):
        need(path, f"quantize {run.folder}")
    try:
        card = json.loads(read_bytes(run.model_json))["quantization"]
        return Quantized(
            tflite=run.tflite,
            name=run.name,
            sha256=hash_file(run.tflite),
            bytes=run.tflite.stat().st_size,
            method=str(card["method"]),
            ranges=str(card["calibration"]),
            samples=int(card["calibration_samples"]),
            via=str(card["via"]),
            warnings=tuple(card.get("warnings", ())),
            run=run.folder,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(
            f"{run.model_json} is damaged; run `netbooster quantize` again"
        ) from error


def _check_road(first: Settings, budget: float | None) -> None:
    plain = budget is None and (first.method, first.ranges) == (METHODS[0], "min-max")
    if first.via != ROADS[0] and not plain:
        # TensorFlow's converter quantizes in one way only: after training, from min and max.
        raise DeployError(
            f"--via {first.via} only knows post-training quantization with min-max ranges; "
            "leave --via out, or set neither method, ranges nor max_drop"
        )


def _quantize_run(
    run: Run, first: Settings, max_drop: float | None, device: str, force: bool, say: Say
) -> None:
    stamp = Stamp(
        run.folder,
        "quantize",
        inputs=[run.contracted],
        settings={
            "quantization": run.recipe.quantization.model_dump(),
            "first": asdict(first),
            "max_drop": max_drop,
            "data": run.dataset.fingerprint(),
        },
        outputs=[run.tflite, run.summary],
        amended=[run.model_json],  # the build adds the int8 accuracy
    )
    if not force and stamp.is_current():
        say("quantize", f"{run.name}: up to date")
        return
    stamp.clear()
    _write(run, first, max_drop, device, say)
    stamp.write()


def _write(run: Run, first: Settings, max_drop: float | None, device: str, say: Say) -> None:
    from deploy.run.model_io import input_quantization, summarize

    made = choose(run, first, max_drop, device=device, say=say)
    trained, settings = made.network, made.settings
    warnings = made.result.warnings if made.result else ()
    for warning in warnings:
        say("quantize", f"{run.name}: warning: {warning}")
    scale, zero_point = input_quantization(trained.preprocess)
    summary = summarize(trained, run.recipe)
    write_atomic(run.summary, json.dumps(summary, indent=1) + "\n")
    write_atomic(run.tflite, made.flatbuffer)
    model = {
        "format": 1,
        "name": run.name,
        "network": trained.network,
        "labels": trained.labels,
        "preprocess": trained.preprocess.to_dict(),
        "input": {"scale": scale, "zero_point": zero_point},
        "accuracy": {
            "float_val": trained.accuracy.get("val"),
            "float_test": trained.accuracy.get("test"),
        },
        "quantization": {
            "method": settings.method,
            "calibration": settings.ranges,
            "calibration_samples": settings.samples,
            "via": settings.via,
            "allow_moves": settings.allow_moves,
            "max_drop": max_drop,
            "tried": list(made.tried),
            "warnings": list(warnings),
        },
        "hashes": made.hashes | {"tflite": hash_file(run.tflite)},
    }
    write_atomic(run.model_json, json.dumps(model, indent=1) + "\n")
    say(
        "quantize",
        f"{run.name}: {run.tflite} ({len(made.flatbuffer):,} bytes, int8, {settings.label})",
    )
