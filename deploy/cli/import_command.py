"""`netbooster import`: a foreign network, torch or ONNX, becomes an int8 .tflite."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import say
from deploy.core.errors import DeployError
from deploy.core.files import write_atomic
from deploy.run.quantizing import ROADS

if TYPE_CHECKING:
    import numpy as np

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[
        str, typer.Argument(metavar="FILE.onnx or FILE.py:NAME", help="One image in, fixed size.")
    ],
    calibration: Annotated[
        Path,
        typer.Option(
            "--calibration",
            "-c",
            help="Preprocessed training images, float32 [N, C, H, W], as a .npy file.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: FILE.tflite.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="State dictionary for FILE.py:NAME.")
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(help="writer (ours; for FILE.py:NAME the default), or onnx2tf."),
    ] = None,
    ranges: Annotated[
        str, typer.Option(help="min-max, percentile, entropy or mse; by our writer.")
    ] = "min-max",
    input_scale: Annotated[
        float, typer.Option(help="One step of the int8 input, by our writer.")
    ] = 1 / 128,
    input_zero_point: Annotated[int, typer.Option(help="The input's code of 0.0.")] = 0,
    allow_moves: Annotated[
        bool, typer.Option("--allow-moves", help="Accept PAD, RESHAPE and the like.")
    ] = False,
) -> None:
    """Turn a torch module or an ONNX file into an int8 .tflite.

    FILE.py:NAME is an `nn.Module`, or a class or function that makes one without arguments; it goes
    by our own writer, with `--via onnx2tf` by ONNX, onnx2tf and TensorFlow (extra `[onnx]`), as
    .onnx files always do. The ranges of the activations come from the calibration images, which
    must be preprocessed as in training. An int8 .tflite needs no import: give it to
    `netbooster compile`.
    """
    import numpy as np

    from deploy.cli.inspect_command import read_bytes
    from deploy.quantize.user_module import load_user_module, split_reference

    if via not in (None, *ROADS):
        raise DeployError(f"unknown road '{via}'; choose one of {', '.join(ROADS)}")
    reference = split_reference(source)
    file = Path(source) if reference is None else reference[0]
    if reference is None and via == "writer":
        raise DeployError(f"{source}: our own writer reads torch modules, FILE.py:NAME, no ONNX")
    if reference is None and weights is not None:
        raise DeployError(f"--weights: {source} has its own; they go with FILE.py:NAME")
    data = read_bytes(file) if reference is None else b""
    try:
        images = np.load(calibration, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DeployError(f"{calibration}: not a .npy file of images ({error})") from error
    target = output or file.with_suffix(".tflite")
    if reference is not None and via != "onnx2tf":
        from deploy.quantize import export

        result = export(
            load_user_module(*reference, weights),
            images,
            input_scale=input_scale,
            input_zero_point=input_zero_point,
            calibration_method=ranges,
            allow_moves=allow_moves,
        )
        for warning in result.warnings:
            say("import", f"warning: {warning}")
        flatbuffer = result.flatbuffer
    else:
        bounds = None
        if reference is not None:
            data = _as_onnx(*reference, weights, images)
            low, high = (input_scale * (code - input_zero_point) for code in (-128, 127))
            bounds = low, high
        flatbuffer = _convert(data, images, file.name, target, allow_moves, bounds)
    write_atomic(target, flatbuffer)
    say("import", f"{target} ({len(flatbuffer):,} bytes, int8)")
    say("import", f"done; next: netbooster compile {target}")


def _as_onnx(path: Path, name: str, weights: Path | None, images: "np.ndarray") -> bytes:
    from deploy.quantize.calibrate import check_images
    from deploy.quantize.user_module import load_user_module
    from deploy.quantize.via_onnx import torch_to_onnx

    check_images(images)
    _, channels, height, width = images.shape
    return torch_to_onnx(load_user_module(path, name, weights), (channels, height, width))


def _convert(
    data: bytes,
    images: "np.ndarray",
    name: str,
    target: Path,
    allow_moves: bool,
    input_range: tuple[float, float] | None,
) -> bytes:
    from deploy.quantize.via_onnx import convert_onnx

    return convert_onnx(
        data,
        images,
        name=name,
        log=target.with_name(f"{target.name}.log"),
        input_range=input_range,
        allow_moves=allow_moves,
    )
