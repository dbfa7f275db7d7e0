# SPDX-License-Identifier: Apache-2.0
"""`netbooster quantize`: a float network becomes an int8 flatbuffer."""

from pathlib import Path
from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console, say
from deploy.cli.options import RangesOption

NO_ARGS_IS_HELP = True
OWN = "A network of your own"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE.py:NAME|FILE.onnx", help="Run, torch module, or ONNX file."
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(help="post-training, equalized or quantization-aware. Default: the recipe's."),
    ] = None,
    ranges: RangesOption = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training images that set the ranges. Default: the recipe's."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, help="Points of validation accuracy that int8 may lose."),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(help="writer (ours), or onnx2tf: ONNX and TensorFlow, extra [onnx]."),
    ] = None,
    allow_moves: Annotated[
        bool, typer.Option("--allow-moves", help="Accept PAD, RESHAPE and the like.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="DIR|FILE.npy",
            help="Training images that set the ranges: preprocessed, float32 [N, C, H, W]; or a "
            "folder of pictures of the network's size.",
            rich_help_panel=OWN,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", "-w", help="State dictionary for FILE.py:NAME.", rich_help_panel=OWN
        ),
    ] = None,
    input_scale: Annotated[
        float, typer.Option(help="One step of the int8 input.", rich_help_panel=OWN)
    ] = 1 / 128,
    input_zero_point: Annotated[
        int, typer.Option(help="The input's code of 0.0.", rich_help_panel=OWN)
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: FILE.tflite.", rich_help_panel=OWN),
    ] = None,
) -> None:
    """Write an int8 .tflite: int8 in and out, per-channel weights, TFLM operators only.

    Of a run, ranges come from its training images; preprocessing and labels travel in the file and
    in model.json. With `--max-drop 0.5` the methods are tried in order of cost (ranges,
    equalization with bias correction, quantization-aware fine-tuning) and the first that loses no
    more than half a point of validation accuracy, in the generated C, is taken.

    FILE.py:NAME is an `nn.Module`, or a class or function that makes one without arguments; it goes
    by our own writer, .onnx files by onnx2tf and TensorFlow. An int8 .tflite needs none of it: give
    it to `netbooster compile`.
    """
    quantized = run.quantize(
        source,
        method=method,
        ranges=ranges,
        samples=samples,
        max_drop=max_drop,
        via=via,
        allow_moves=allow_moves,
        images=images,
        weights=weights,
        input_scale=input_scale,
        input_zero_point=input_zero_point,
        output=output,
        force=True,
        console=console,
    )
    say(
        "quantize",
        f"done; next: netbooster compile {source if quantized.run else quantized.tflite}",
    )
