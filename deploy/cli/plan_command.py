"""`netbooster plan`: a model's memory, before anything is built."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.cli.inspect_command import read_bytes
from deploy.core.files import write_atomic
from deploy.run.context import DEFAULT_TARGET, TargetOption
from deploy.run.planning import (
    InputMode,
    InputOption,
    KeepDeadOption,
    Planning,
    RamOption,
    ScheduleName,
    ScheduleOption,
    WidenOption,
)

if TYPE_CHECKING:
    from deploy.codegen import Compilation

NO_ARGS_IS_HELP = True


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="Any int8 model.")],
    target: TargetOption = DEFAULT_TARGET,
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The picture, an SVG. Default: FILE-plan.svg."),
    ] = None,
) -> None:
    """Print the memory plan as a table and draw it: time to the right, addresses upwards.

    The sizes are exact: they are what the compiled firmware takes and reports.
    """
    from deploy.codegen import plan_model
    from deploy.evidence.memory_map import render_map
    from deploy.targets import load_target

    planning = Planning(schedule, input_mode, ram, keep_dead, widen_weights)
    arguments = planning.arguments(load_target(target), in_run=False)
    compilation = plan_model(read_bytes(file), name=file.stem, **arguments)
    print_plan(compilation)
    picture = output or file.with_name(f"{file.stem}-plan.svg")
    write_atomic(picture, render_map(compilation))
    say("plan", f"picture: {picture}")


def print_plan(compilation: "Compilation") -> None:
    """Two tables: layer by layer, and buffer by buffer."""
    from deploy.evidence.memory_map import needed_bytes, pieces

    plan = compilation.plan
    table = new_table(
        f"{plan.name}: schedule {plan.schedule}, input by {plan.input_mode}",
        *(">#", "operator", "output", "runs", ">rows at a time", ">needed", ">scratch"),
        wrap="layer",
    )
    for layer, needed in zip(plan.layers, needed_bytes(compilation), strict=True):
        table.add_row(
            str(layer.index),
            layer.op,
            "x".join(map(str, layer.output_shape)),
            "whole" if layer.stream < 0 else f"in stream {layer.stream}",
            str(layer.batch) if layer.stream >= 0 else "all",
            f"{needed:,}",
            f"{layer.scratch_bytes:,}",
            layer.name,
        )
    console.print(table)
    table = new_table(
        f"arena of {plan.arena_bytes:,} bytes",
        *(">from", ">to", ">bytes", "kind", ">rows", ">layers"),
        wrap="content",
    )
    for piece in pieces(compilation):
        rows = "-" if piece.rows is None else f"{piece.rows} of {piece.height}"
        table.add_row(
            f"{piece.offset:,}",
            f"{piece.offset + piece.bytes:,}",
            f"{piece.bytes:,}",
            piece.kind,
            rows,
            f"{max(piece.first, 0)}-{piece.last}",
            piece.name,
        )
    console.print(table)
    say(
        "plan",
        f"arena {plan.arena_bytes:,} bytes (no plan of this order takes less than "
        f"{plan.arena_lower_bound:,}), fullest at {plan.layers[plan.arena_peak_layer].name}; "
        f"{compilation.schedule.cost:,.0f} instructions more than layer by layer (estimated); "
        f"weights {plan.weights_bytes:,}, tables {plan.tables_bytes:,} bytes",
    )
    if compilation.removed_channels:
        say(
            "dead",
            f"{compilation.removed_channels:,} channels and {compilation.removed_macs:,} MACs "
            "removed at compile time (--keep-dead keeps them)",
        )
