# SPDX-License-Identifier: Apache-2.0
"""What a person sees while training runs: a live bar, or plain lines where no terminal is."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines."""


class Reporter:
    """Shows phase, loss, score, rate and time left; says what is skipped and resumed.

    ``console=None`` shows nothing. rich is imported only when there is a console.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        self._console = console
        self._bar: Any = None
        self._task: Any = None
        self._phase = ""
        self._total = 0
        self._first = 0
        self._started = 0.0
        self._printed = 0.0

    def say(self, text: str) -> None:
        """One line for the log."""
        if self._console is not None:
            self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def phase(self, name: str, done: int, total: int) -> "Reporter":
        """Show a phase of ``total`` steps, ``done`` of them done, inside a ``with``."""
        self._phase, self._first, self._total = name, done, total
        return self

    def __enter__(self) -> "Reporter":
        self._started = self._printed = time.monotonic()
        if self._console is not None and self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description:8}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=self._console,
            )
            self._task = self._bar.add_task(
                self._phase, total=self._total, completed=self._first, numbers=""
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def update(
        self, step: int, loss: float, score: float, images_per_second: float, metric: str
    ) -> None:
        """Show the state after ``step`` steps of the phase; ``score`` is 0..1, by ``metric``."""
        numbers = f"loss {loss:.3f}  {metric} {score:6.1%}  {images_per_second:,.0f} images/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, numbers=numbers)
            return
        now = time.monotonic()
        if now - self._printed < PLAIN_SECONDS and step < self._total:
            return
        self._printed = now
        left = (now - self._started) / max(1, step - self._first) * (self._total - step)
        minutes, seconds = divmod(round(left), 60)
        done = f"{self._phase}: {step}/{self._total} steps"
        self.say(f"{done}  {numbers}  {minutes}:{seconds:02} left")
