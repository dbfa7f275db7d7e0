"""`netbooster import`: a foreign .onnx file becomes an int8 .tflite."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.errors import DeployError
from deploy.files import write_atomic

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="One image in, fixed size.")],
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
) -> None:
    """Turn an ONNX file into an int8 .tflite, by onnx2tf and TensorFlow (extra `[onnx]`).

    The ranges of the activations come from the calibration images, which must be preprocessed as
    in training. An int8 .tflite needs no import: give it to `netbooster compile`.
    """
    import numpy as np

    from deploy.cli.inspect_command import read_bytes
    from deploy.via_onnx import convert_onnx

    data = read_bytes(source)
    try:
        images = np.load(calibration, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DeployError(f"{calibration}: not a .npy file of images ({error})") from error
    target = output or source.with_suffix(".tflite")
    flatbuffer = convert_onnx(
        data, images, name=source.name, log=target.with_name(f"{target.name}.log")
    )
    write_atomic(target, flatbuffer)
    say("import", f"{target} ({len(flatbuffer):,} bytes, int8)")
    say("import", f"done; next: netbooster compile {target}")
