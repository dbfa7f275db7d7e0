# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.run.folder import DEFAULT_TARGET
from deploy.run.planning import InputMode, ScheduleName

__all__ = ["DEFAULT_TARGET", "InputMode", "ScheduleName"]


RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="What `netbooster train` or `run` wrote; of a comparison, all its runs."
    ),
]
ModelFile = Annotated[Path, typer.Argument(metavar="FILE.tflite", help="Any int8 model.")]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", "-t", help="Board or emulated machine; see `netbooster list targets`."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="Where to train: cpu, cuda or cuda:N.")]
EngineOption = Annotated[
    str, typer.Option(help="nb, or tflm for the same harness around the interpreter in --tflm-dir.")
]
TflmOption = Annotated[
    Path | None,
    typer.Option("--tflm-dir", help="TensorFlow Lite Micro: headers and the library you built."),
]
ScheduleOption = Annotated[
    ScheduleName,
    typer.Option(
        "--schedule",
        help="layers: each layer whole; fused: blocks a few rows at a time; rows: also the "
        "network's beginning; auto: the least memory that costs next to no time.",
    ),
]
RamOption = Annotated[
    int | None,
    typer.Option(
        "--ram",
        metavar="BYTES",
        min=1,
        help="RAM for everything, stack included: takes the fastest plan that fits. Default: what "
        "the target has, of which as little is taken as costs next to no time.",
    ),
]
InputOption = Annotated[
    InputMode,
    typer.Option(
        "--input",
        help="image: the whole input lies in RAM; rows: nb_push_row gets it row by row, as from a "
        "camera.",
    ),
]
WidenOption = Annotated[
    bool,
    typer.Option(
        "--widen-weights",
        help="Store weights as int16 where flash has room, in the layers that gain most first: "
        "fewer instructions, the same output bytes.",
    ),
]
KeepDeadOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-dead/--remove-dead",
        help="Channels whose value is known at compile time, or that nothing reads: keep them, or "
        "remove them (no output byte changes). Default: kept in runs, whose budgets are compared; "
        "removed from single models.",
    ),
]
RangesOption = Annotated[
    str | None,
    typer.Option(
        "--ranges",
        help="How the ranges of the activations are set: min-max, percentile, entropy or mse. "
        "Default: the recipe's; of a network from elsewhere, min-max.",
    ),
]
