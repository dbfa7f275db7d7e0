"""`netbooster models`: the networks and their budgets."""

from typing import Annotated

import typer

from deploy.cli.console import console, new_table


def command(
    resolution: Annotated[
        int | None, typer.Option("--resolution", "-r", help="Default: the network's own.")
    ] = None,
    classes: Annotated[int, typer.Option("--classes", "-c", min=1)] = 1000,
    channels: Annotated[int, typer.Option(min=1, max=3, help="1 (grey) or 3 (RGB).")] = 3,
) -> None:
    """List the networks with parameters, MACs and peak activation bytes (int8, layer by layer)."""
    from netbooster.common.budget import measure_budget
    from netbooster.models import build_model, model_info, model_names

    table = new_table(
        f"Networks with {classes} classes",
        *("name", ">resolution", ">MACs", ">parameters", ">without BN", ">peak activations"),
        wrap="description",
    )
    for name in model_names():
        info = model_info(name)
        size = resolution or info.default_resolution
        model = build_model(name, num_classes=classes, resolution=size, channels=channels)
        budget = measure_budget(model, (1, channels, size, size))
        table.add_row(
            name,
            str(size),
            f"{budget.macs:,}",
            f"{budget.parameters:,}",
            f"{budget.parameters - budget.bn_parameters:,}",
            f"{budget.peak_activation_bytes:,} B",
            info.description,
        )
    console.print(table)
