# SPDX-License-Identifier: Apache-2.0
"""`netbooster table`: the rows of one of the paper's tables, beside the paper's numbers."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import console, new_table, say
from deploy.cli.recipe_options import DataOption, SetOption, data_folders
from deploy.core.errors import DeployError

NO_ARGS_IS_HELP = True


def command(
    name: Annotated[
        str, typer.Argument(metavar="N", help="1, 2, 4 to 8, figure1, figure3, or a file.")
    ],
    mini: Annotated[
        bool, typer.Option("--mini", help="The small variants: glyphs, 2 cores, minutes a run.")
    ] = False,
    seeds: Annotated[
        str, typer.Option("--seeds", "--seed", "-s", help="Numbers separated by commas.")
    ] = "0,1,2",
    rows: Annotated[
        list[str] | None,
        typer.Option("--row", "-r", help="Only this row, by its name. Repeatable."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Print what is finished; train nothing.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: runs/tables, with --mini runs/tables-mini."),
    ] = None,
    sets: SetOption = None,
    data: DataOption = None,
    scale: Annotated[
        float, typer.Option(help="Factor on the length of every training, for a quick trial.")
    ] = 1.0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Run a table of the paper and print it with 95% intervals beside the paper's numbers.

    Finished runs are kept: after a kill the same command goes on from where it stopped. Rows of
    several tables that are the same experiment share one run, and so do teachers. --set changes the
    recipe of every row, --data that of all that they build on, too. Start the same
    command in a second shell to share the work: each run is trained by one of them. Trials with
    --scale or --set need a folder of their own (--output).

    On many GPUs: `torchrun --nproc-per-node 4 -m deploy.cli table 1 --device cuda`.
    """
    from netbooster.experiment.table import (
        COLUMNS,
        finished_results,
        format_rows,
        pooled_gains,
        run_table,
        save_results,
    )
    from netbooster.experiment.table_rows import load_table
    from netbooster.training.distributed import is_writer

    table = load_table(name)
    root = output or Path("runs") / ("tables-mini" if mini else "tables")
    chosen, only, changes, places = _numbers(seeds), rows or [], sets or [], data_folders(data)
    if report:
        results = finished_results(
            table,
            mini=mini,
            seeds=chosen,
            root=root,
            rows=only,
            scale=scale,
            overrides=changes,
            data=places,
        )
        if results and not only:
            save_results(table, results, root, mini=mini)
    else:
        results = run_table(
            table,
            mini=mini,
            seeds=chosen,
            root=root,
            rows=only,
            scale=scale,
            overrides=changes,
            data=places,
            device=device,
            console=console,
            say=lambda text: say("table", text) if is_writer() else None,
        )
        if not is_writer():
            return
    where = "on glyphs (mini), the paper's on its own data" if mini else "on the paper's data"
    view = new_table(f"{table.title}: accuracy in %, {where}", *COLUMNS[1:-1], wrap="seeds")
    shown = ""
    for group, label, *cells in format_rows(table, results):
        if group != shown:
            view.add_row(f"[bold]{group}[/]")
            shown = group
        view.add_row(f"  {label}", *cells)
    console.print(view)
    for label, gain, count in pooled_gains(table, results):
        say("table", f"{label}: gain {gain} points over all {count} pairs of the table")
    if not results:
        say("table", f"no finished run in {root}; leave --report out to train")


def _numbers(text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise DeployError(f"--seeds {text}: give numbers separated by commas, such as 0,1,2")
    return list(dict.fromkeys(int(part) for part in parts))
