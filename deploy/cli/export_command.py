"""`netbooster export`: the float network becomes an int8 flatbuffer."""

import json
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.cli.context import ModelOption, ModelPaths, RunContext, RunFolder
from deploy.files import write_atomic
from deploy.stamps import Stamp, hash_file

NO_ARGS_IS_HELP = True


def stage(context: RunContext, *, calibration_samples: int | None = None) -> None:
    """Quantize and write model.tflite and model.json of each model."""
    for paths in context.models:
        context.need(paths.contracted, "contract")
        quantization = context.recipe.quantization
        samples = calibration_samples or quantization.calibration_samples
        stamp = Stamp(
            paths.folder,
            "export",
            inputs=[paths.contracted],
            settings={
                "quantization": quantization.model_dump(),
                "samples": samples,
                "data": context.dataset.fingerprint(),
            },
            outputs=[paths.tflite, paths.model_json],
        )
        if not context.force and stamp.is_current():
            say("export", f"{paths.name}: up to date")
            continue
        stamp.clear()
        _export(context, paths, samples)
        stamp.write()


def _export(context: RunContext, paths: ModelPaths, samples: int) -> None:
    from deploy.export import export
    from deploy.model_io import calibration_images, input_quantization, load_model

    trained = load_model(paths.contracted)
    scale, zero_point = input_quantization(trained.preprocess)
    hashes = {
        "recipe": hash_file(context.folder / "recipe.toml"),
        "checkpoint": hash_file(paths.contracted),
        "data": context.dataset.fingerprint(),
    }
    exported = export(
        trained.module,
        calibration_images(context.dataset, samples),
        input_scale=scale,
        input_zero_point=zero_point,
        calibration_method=context.recipe.quantization.calibration,
        metadata={
            "netbooster.labels": json.dumps(trained.labels),
            "netbooster.preprocess": json.dumps(trained.preprocess.to_dict(), sort_keys=True),
            "netbooster.checkpoint_sha256": hashes["checkpoint"],
        },
    )
    for warning in exported.warnings:
        say("export", f"{paths.name}: warning: {warning}")
    flatbuffer = exported.flatbuffer
    write_atomic(paths.tflite, flatbuffer)
    model = {
        "format": 1,
        "name": paths.name,
        "network": trained.network,
        "labels": trained.labels,
        "preprocess": trained.preprocess.to_dict(),
        "input": {"scale": scale, "zero_point": zero_point},
        "accuracy": {
            "float_val": trained.accuracy.get("val"),
            "float_test": trained.accuracy.get("test"),
        },
        "quantization": {
            "method": context.recipe.quantization.method,
            "calibration": context.recipe.quantization.calibration,
            "calibration_samples": samples,
        },
        "hashes": hashes | {"tflite": hash_file(paths.tflite)},
    }
    write_atomic(paths.model_json, json.dumps(model, indent=1) + "\n")
    say("export", f"{paths.name}: {paths.tflite} ({len(flatbuffer):,} bytes, int8)")


def command(
    run: RunFolder,
    model: ModelOption = None,
    calibration_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training images that set the ranges. Default: the recipe's."),
    ] = None,
) -> None:
    """Write RUN/MODEL/model.tflite: int8 in and out, per-channel weights, TFLM operators only.

    The ranges of the activations come from training images; preprocessing and labels travel in
    the file and in model.json.
    """
    context = RunContext.open(run, model=model)
    stage(context, calibration_samples=calibration_samples)
    say("export", f"done; next: netbooster compile {run}")
