# SPDX-License-Identifier: Apache-2.0
"""`netbooster fit`: does a network fit a target, answered before any training."""

from typing import Annotated

import typer

from deploy import run
from deploy.cli.console import console, new_table, say
from deploy.cli.options import DEFAULT_TARGET, TargetOption

NO_ARGS_IS_HELP = True


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See `netbooster list models`.")],
    target: TargetOption = DEFAULT_TARGET,
    resolution: Annotated[
        int | None, typer.Option("--resolution", "-r", help="Default: the network's own.")
    ] = None,
    classes: Annotated[int, typer.Option("--classes", "-c", min=1)] = 1000,
    channels: Annotated[int, typer.Option(min=1, max=3, help="1 (grey) or 3 (RGB).")] = 3,
) -> None:
    """Say whether a network fits flash and RAM, what would fit, and how long it would take.

    Memory is what the compiler's planner needs. Latency is an estimate from counted kernels; its
    error on known models is printed with it.
    """
    found = run.fit(model, target=target, resolution=resolution, classes=classes, channels=channels)
    table = new_table(
        f"{model} with {classes} classes on {target}",
        *("network", ">resolution", ">RAM", ">flash", ">MACs", ">latency (estimated)"),
        wrap="verdict",
    )
    for candidate in (found.asked, *found.others):
        fit = candidate.fit
        table.add_row(
            candidate.name,
            str(candidate.resolution),
            f"{fit.ram_bytes:,} of {fit.ram_available:,} B",
            f"{fit.flash_bytes:,} of {fit.flash_available:,} B",
            f"{fit.macs:,}",
            f"{fit.latency_ms:,.1f} ms",
            fit.verdict,
        )
    console.print(table)
    size = found.asked.resolution
    say("fit", f"{model} at {size}x{size} {found.asked.fit.verdict} {target}")
    known = ", ".join(f"{name} {error:+.1%}" for name, error in found.errors.items())
    say("fit", f"error of the estimated cycles on known models: {known}")
