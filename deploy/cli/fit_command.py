"""`netbooster fit`: does a network fit a target, answered before any training."""

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.run.context import DEFAULT_TARGET, TargetOption

if TYPE_CHECKING:
    from deploy.evidence.fit import Fit

NO_ARGS_IS_HELP = True
WIDTHS = [width / 20 for width in range(2, 41)]  # 0.10 to 2.00
_MOST_PIXELS = 320


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See `netbooster models`.")],
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
    from deploy.codegen import compile_model
    from deploy.evidence.fit import estimate, largest, load_costs
    from deploy.run.model_io import untrained_flatbuffer
    from deploy.targets import load_target
    from netbooster.models import model_info

    board = load_target(target)
    info = model_info(model)
    wanted = resolution or info.default_resolution

    @cache
    def measure(size: int, width: float | None = None) -> "Fit":
        data = untrained_flatbuffer(
            model, resolution=size, classes=classes, channels=channels, width=width
        )
        with tempfile.TemporaryDirectory(prefix="nb_fit_") as folder:
            plan = compile_model(data, Path(folder), name=model, keep_dead=True)
        return estimate(plan, board)

    table = new_table(
        f"{model} with {classes} classes on {target}",
        *("network", ">resolution", ">RAM", ">flash", ">MACs", ">latency (estimated)"),
        wrap="verdict",
    )

    def add(name: str, size: int, found: "Fit") -> None:
        table.add_row(
            name,
            str(size),
            f"{found.ram_bytes:,} of {found.ram_available:,} B",
            f"{found.flash_bytes:,} of {found.flash_available:,} B",
            f"{found.macs:,}",
            f"{found.latency_ms:,.1f} ms",
            found.verdict,
        )

    asked = measure(wanted)
    add(model, wanted, asked)
    sizes = list(range(info.min_resolution, max(_MOST_PIXELS, wanted) + 1, 16))
    best = largest(sizes, measure)
    if best is not None:
        add("largest resolution that fits", *best)
    if info.family == "MobileNetV2":
        widest = largest(WIDTHS, lambda width: measure(wanted, width))
        if widest is not None:
            add(f"widest that fits: width {widest[0]:.2f}", wanted, widest[1])
    console.print(table)
    assert board.cycles is not None  # estimate has checked
    costs = load_costs(board.cycles.model)
    known = ", ".join(f"{e['model']} {e['cycles_error']:+.1%}" for e in costs.errors)
    say("fit", f"{model} at {wanted}x{wanted} {asked.verdict} {board.name}")
    say("fit", f"error of the estimated cycles on known models: {known}")
