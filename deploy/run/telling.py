# SPDX-License-Identifier: Apache-2.0
"""How stages report their progress: a line to a console, or nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str, str], None]
"""Called with the stage that speaks and its line."""


def teller(console: "Console | None") -> Say:
    """A function that prints a stage and its line; silent without a console."""

    def say(stage: str, message: str) -> None:
        if console is not None:
            console.print(f"[bold cyan]{stage:<9}[/]", end="")
            console.print(message, markup=False)

    return say
