# SPDX-License-Identifier: Apache-2.0
"""`netbooster flash`: a firmware onto a board, verified."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import say
from deploy.cli.options import DEFAULT_TARGET, EngineOption, TargetOption
from deploy.run.building import firmware_file

NO_ARGS_IS_HELP = True


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FIRMWARE.elf",
            help="Run folder (of a comparison, its selected run), or one firmware.",
        ),
    ],
    target: TargetOption = DEFAULT_TARGET,
    tool: Annotated[
        str | None,
        typer.Option(
            help="pyocd, openocd, st-flash, bossac, dfu-util or copy. Default: what is "
            "there, in the target's order."
        ),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", "-p", help="Serial port: to verify, and for bossac to write."),
    ] = None,
    volume: Annotated[
        Path | None, typer.Option(help="Where the board's drive is mounted, for copy.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the exact command and do nothing.")
    ] = False,
    engine: EngineOption = "nb",
) -> None:
    """Write a firmware to a board; with --port, the board's own checksum of it is compared."""
    from deploy.devices.flash import flash, plan_flash, verify_flash
    from deploy.targets import load_target

    board = load_target(target)
    elf = firmware_file(source, board, engine)
    if dry_run:
        plan = plan_flash(board, elf, elf.parent, tool=tool, port=port, volume=volume, dry=True)
        typer.echo(str(plan))
        return
    plan = flash(board, elf, tool=tool, port=port, volume=volume)
    say("flash", f"{elf}: written with {plan.tool}, {len(plan.content):,} bytes")
    if port is None or plan.tool == "bossac":
        say("flash", "not verified: give --port of the board's serial line to have it checked")
        return
    crc32 = verify_flash(elf, board, port)
    say("flash", f"verified: the board's flash holds these bytes (CRC-32 {crc32})")
