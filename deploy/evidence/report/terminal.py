# SPDX-License-Identifier: Apache-2.0
"""The key figures of a report as a table for the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.evidence.report.budget_check import check_budget
from deploy.evidence.report.collect import collect_run
from deploy.evidence.report.figures import alerts, key_figures


def print_summary(
    run_dir: Path,
    target: str,
    runs: Sequence[str] = (),
    *,
    console: Console | None = None,
) -> None:
    """Print the verdict, the measured quantities of both models and what needs attention.

    Raises:
        DeployError: nothing to report on, or a file that cannot be understood.
    """
    console = console or Console(emoji=False)
    run = collect_run(run_dir, target, runs)
    budget = check_budget(run)
    table = Table(title=Text(f"{run.name} on {target}"), title_justify="left")
    table.add_column("Quantity", no_wrap=True)
    names = [*(model.name for model in run.models), *(() if run.alone else ("difference",))]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for figure in key_figures(run):
        values: tuple[str, ...] = (figure.contender,)
        if not run.alone:
            values = (figure.reference, figure.contender, figure.difference)
        table.add_row(*(Text(part) for part in (figure.name, *values)))
    console.print(table)
    style = {True: "bold green", False: "bold red", None: "bold yellow"}[budget.kept]
    console.print(Text(budget.sentence, style=style))
    for alert in alerts(run, budget):
        console.print(Text(alert.text, style="red" if alert.severe else "yellow"))
