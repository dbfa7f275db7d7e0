# SPDX-License-Identifier: Apache-2.0
"""The two consoles of the command line, and the one look of its tables."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from deploy.run.telling import teller

# Without a terminal (a pipe, CI) rich falls back to 80 columns and would cut names in tables.
_PIPE_WIDTH = 160

# Names of users are printed as they are: `bad.py:x:` is not to become a picture.
console = Console(
    emoji=False,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else _PIPE_WIDTH,
)
error_console = Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)


say = teller(console)
"""One line of progress, with the stage that speaks."""


def new_table(title: str, *columns: str, wrap: str) -> Table:
    """A table whose columns keep their width, but for ``wrap``, the last one, which wraps.

    A column name that begins with ``>`` is right-aligned.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=True,
        )
    table.add_column(wrap, overflow="fold")
    return table
