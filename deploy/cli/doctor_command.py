# SPDX-License-Identifier: Apache-2.0
"""`netbooster doctor`: what is installed and what is missing."""

import platform
import sys

import typer
from rich.markup import escape

from deploy.cli.console import console, new_table


def command() -> None:
    """Show what is installed, what is missing and the command that installs it.

    Ends with exit code 1 where something required is missing.
    """
    from deploy.build.doctor import package_checks, tool_checks

    checks = [*tool_checks(), *package_checks()]
    title = f"Python {sys.version.split()[0]} on {platform.platform()}"
    table = new_table(title, "", "what", "found", "needed for", wrap="install with")
    for check in checks:
        if check.found:
            mark = "[green]ok[/]"
        else:
            mark = "[red]missing[/]" if check.required else "[yellow]absent[/]"
        remedy = "" if check.found else check.remedy
        table.add_row(
            mark, check.name, escape(check.found or "-"), check.needed_for, escape(remedy)
        )
    console.print(table)
    if any(check.found is None and check.required for check in checks):
        raise typer.Exit(1)
