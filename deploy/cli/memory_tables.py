# SPDX-License-Identifier: Apache-2.0
"""How `netbooster inspect --memory` shows a plan."""

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.cli.console import console, new_table, say
from netbooster.common.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from deploy.codegen import Compilation
    from deploy.run import Planning


def print_memory(file: Path, picture: Path, target: str, planning: "Planning") -> None:
    """Plan a model, print the plan as tables, and draw it."""
    from deploy.codegen import plan_model
    from deploy.evidence.memory_map import render_map
    from deploy.targets import load_target

    arguments = planning.arguments(load_target(target), in_run=False)
    compilation = plan_model(read_bytes(file), name=file.stem, **arguments)
    _layers(compilation)
    _buffers(compilation)
    plan = compilation.plan
    say(
        "memory",
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
    write_atomic(picture, render_map(compilation))
    say("memory", f"picture: {picture}")


def _layers(compilation: "Compilation") -> None:
    from deploy.evidence.memory_map import needed_bytes

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


def _buffers(compilation: "Compilation") -> None:
    from deploy.evidence.memory_map import map_entries

    table = new_table(
        f"arena of {compilation.plan.arena_bytes:,} bytes",
        *(">from", ">to", ">bytes", "kind", ">rows", ">layers"),
        wrap="content",
    )
    for piece in map_entries(compilation):
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
