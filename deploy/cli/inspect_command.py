# SPDX-License-Identifier: Apache-2.0
"""`netbooster inspect`: what is in a .tflite file, and what memory it takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.cli.options import (
    DEFAULT_TARGET,
    InputMode,
    InputOption,
    KeepDeadOption,
    RamOption,
    ScheduleName,
    ScheduleOption,
    TargetOption,
    WidenOption,
)
from deploy.core.errors import DeployError
from deploy.run import Planning
from netbooster.common.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from deploy.evidence.inspection import Inspection

NO_ARGS_IS_HELP = True


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="Any TFLite model.")],
    memory: Annotated[
        bool,
        typer.Option("--memory", help="The memory plan instead, buffer by buffer; int8 models."),
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option(
            "--svg", help="The picture: the graph; with --memory the plan (default FILE-plan.svg)."
        ),
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    schedule: ScheduleOption = ScheduleName.AUTO,
    ram: RamOption = None,
    input_mode: InputOption = InputMode.IMAGE,
    keep_dead: KeepDeadOption = None,
    widen_weights: WidenOption = False,
) -> None:
    """Print operators, shapes, scales, MACs, bytes, and memory under each schedule.

    Works on any .tflite, float ones too; says in one line why the compiler would refuse a model.
    With `--memory`: what lies where and when, as a table and a picture, time to the right and
    addresses upwards; those sizes are exact, the compiled firmware takes and reports the same.
    """
    planning = Planning(schedule, input_mode, ram, keep_dead, widen_weights)
    if memory:
        from deploy.cli.memory_tables import print_memory

        print_memory(file, svg or file.with_name(f"{file.stem}-plan.svg"), target, planning)
        return
    if planning != Planning() or target != DEFAULT_TARGET:
        raise DeployError("--target and the options of the plan go with --memory")
    from deploy.evidence.inspection import inspect_model, render_svg

    found = inspect_model(read_bytes(file), file.name)
    _print(found)
    if svg is not None:
        write_atomic(svg, render_svg(found))
        say("inspect", f"graph drawn: {svg}")


def _print(found: "Inspection") -> None:
    table = new_table(
        f"{found.name}: {found.file_bytes:,} bytes, {found.macs:,} MACs",
        *(">#", "operator", "output", "type", ">scale", ">zero point", ">MACs", ">constants"),
        *(">live",),
        wrap="name",
    )
    for op in found.operators:
        table.add_row(
            str(op.index),
            op.operator,
            "x".join(map(str, op.output_shape)),
            op.type,
            "-" if op.scale is None else f"{op.scale:.6g}",
            "-" if op.zero_point is None else str(op.zero_point),
            f"{op.macs:,}",
            f"{op.constant_bytes:,} B",
            f"{op.live_bytes:,} B",
            op.name,
        )
    console.print(table)
    for label, tensors in (("input", found.inputs), ("output", found.outputs)):
        for text in tensors:
            say(label, text)
    for schedule in found.schedules:
        say(
            "memory",
            f"schedule {schedule.schedule}: arena {schedule.arena_bytes:,} B "
            f"(full at {schedule.peak_layer}), weights {schedule.weights_bytes:,} B, "
            f"tables {schedule.tables_bytes:,} B",
        )
    if found.refusal is not None:
        say("compile", f"would refuse it: {found.refusal}")
