"""`netbooster inspect`: what is in a .tflite file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.core.errors import DeployError

if TYPE_CHECKING:
    from deploy.evidence.inspection import Inspection

NO_ARGS_IS_HELP = True


def read_bytes(path: Path) -> bytes:
    """The file's bytes; DeployError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeployError(f"cannot read {path}: {error.strerror or error}") from error


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="Any TFLite model.")],
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw the graph into this SVG file.")
    ] = None,
) -> None:
    """Print operators, shapes, scales, MACs, bytes, and memory under each schedule.

    Works on any .tflite, float ones too; says in one line why the compiler would refuse a model.
    """
    from deploy.core.files import write_atomic
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
