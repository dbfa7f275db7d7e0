"""`netbooster export`: the float network becomes an int8 flatbuffer."""

import json
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.files import write_atomic
from deploy.core.stamps import Stamp, hash_file
from deploy.run.context import ModelOption, ModelPaths, RunContext, RunFolder
from deploy.run.quantizing import METHODS, ROADS, Settings, choose

NO_ARGS_IS_HELP = True


def stage(
    context: RunContext,
    *,
    method: str | None = None,
    calibration: str | None = None,
    calibration_samples: int | None = None,
    max_drop: float | None = None,
    via: str = "writer",
    allow_moves: bool = False,
) -> None:
    """Quantize and write model.tflite and model.json of each model.

    Arguments that are None follow the recipe.
    """
    recipe = context.recipe.quantization
    if method not in (None, *METHODS):
        raise DeployError(f"unknown method '{method}'; choose one of {', '.join(METHODS)}")
    if via not in ROADS:
        raise DeployError(f"unknown road '{via}'; choose one of {', '.join(ROADS)}")
    first = Settings(
        method or recipe.method,
        calibration or recipe.calibration,
        calibration_samples or recipe.calibration_samples,
        via,
        allow_moves,
    )
    budget = recipe.max_drop if max_drop is None else max_drop
    plain = budget is None and (first.method, first.calibration) == (METHODS[0], "min-max")
    if via != "writer" and not plain:
        # TensorFlow's converter quantizes in one way only: after training, from min and max.
        raise DeployError(
            f"--via {via} only knows post-training quantization with min-max ranges; "
            "leave --via out, or set neither method, calibration nor max_drop"
        )
    for paths in context.models:
        context.need(paths.contracted, "contract")
        stamp = Stamp(
            paths.folder,
            "export",
            inputs=[paths.contracted],
            settings={
                "quantization": recipe.model_dump(),
                "first": first.label,
                "allow_moves": allow_moves,
                "samples": first.samples,
                "max_drop": budget,
                "data": context.dataset.fingerprint(),
            },
            outputs=[paths.tflite, paths.model_json],
        )
        if not context.force and stamp.is_current():
            say("export", f"{paths.name}: up to date")
            continue
        stamp.clear()
        _export(context, paths, first, budget)
        stamp.write()


def _export(
    context: RunContext, paths: ModelPaths, first: Settings, max_drop: float | None
) -> None:
    from deploy.run.model_io import input_quantization

    quantized = choose(context, paths, first, max_drop)
    trained, settings = quantized.network, quantized.settings
    for warning in quantized.result.warnings if quantized.result else ():
        say("export", f"{paths.name}: warning: {warning}")
    flatbuffer = quantized.flatbuffer
    scale, zero_point = input_quantization(trained.preprocess)
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
            "method": settings.method,
            "calibration": settings.calibration,
            "calibration_samples": settings.samples,
            "via": settings.via,
            "allow_moves": settings.allow_moves,
            "max_drop": max_drop,
            "tried": list(quantized.tried),
        },
        "hashes": quantized.hashes | {"tflite": hash_file(paths.tflite)},
    }
    write_atomic(paths.model_json, json.dumps(model, indent=1) + "\n")
    say(
        "export",
        f"{paths.name}: {paths.tflite} ({len(flatbuffer):,} bytes, int8, {settings.label})",
    )


def command(
    run: RunFolder,
    model: ModelOption = None,
    calibration_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training images that set the ranges. Default: the recipe's."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="min-max, percentile, entropy or mse. Default: the recipe's."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help=f"{', '.join(METHODS)}. Default: the recipe's.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, help="Points of validation accuracy that int8 may lose."),
    ] = None,
    via: Annotated[
        str,
        typer.Option(help="writer (ours), or onnx2tf: ONNX and TensorFlow, extra [onnx]."),
    ] = "writer",
    allow_moves: Annotated[
        bool, typer.Option("--allow-moves", help="Accept PAD, RESHAPE and the like.")
    ] = False,
) -> None:
    """Write RUN/MODEL/model.tflite: int8 in and out, per-channel weights, TFLM operators only.

    The ranges of the activations come from training images; preprocessing and labels travel in
    the file and in model.json. With `--max-drop 0.5` the methods are tried in order of cost
    (calibration, equalization with bias correction, quantization-aware fine-tuning) and the first
    that loses no more than half a point of validation accuracy, in the generated C, is taken.
    """
    context = RunContext.open(run, model=model)
    stage(
        context,
        method=method,
        calibration=calibration,
        calibration_samples=calibration_samples,
        max_drop=max_drop,
        via=via,
        allow_moves=allow_moves,
    )
    say("export", f"done; next: netbooster compile {run}")
