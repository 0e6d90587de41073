"""One line per stage of a long job: what it does, how far it is, the latest figure, the time it took.

On a terminal the lines move; elsewhere (a log file, CI) a line is printed when a stage begins, at every tenth of it,
and when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

NAME_WIDTH = 24


class Stages:
    """The display of a job; use it as a context manager around all stages."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Stages:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    @contextmanager
    def stage(self, name: str, total: float = 1.0) -> Iterator[Stage]:
        """A stage of `total` units; its line stays when it is done, and shows where it stood when it fails."""
        stage = Stage(self._console, self._display, name, total)
        yield stage
        stage.finish()


class Stage:
    """One line of the display; made by `Stages.stage`."""

    def __init__(self, console: Console, display: Progress, name: str, total: float) -> None:
        self._console, self._display, self._name, self._total = console, display, name, total
        self._task = display.add_task(f"{name:<{NAME_WIDTH}}", total=total, detail="")
        self._start, self._tenths, self._detail = time.monotonic(), 0, ""
        self._print("begins")

    def at(self, done: float, detail: str) -> None:
        """Show that `done` of the stage's total is done, and a short `detail` (the latest figure)."""
        self._detail = detail
        self._display.update(self._task, completed=done, detail=detail)
        tenths = int(10 * done / self._total)
        if self._tenths < tenths < 10:
            self._tenths = tenths
            self._print(f"{tenths}0 %  {detail}")

    def finish(self) -> None:
        """Show that all of it is done."""
        self._display.update(self._task, completed=self._total)
        self._print(f"done  {self._detail}")

    def _print(self, text: str) -> None:
        if not self._console.is_terminal:
            elapsed = time.monotonic() - self._start
            self._console.print(f"{self._name:<{NAME_WIDTH}} {elapsed:6.1f} s  {text}", soft_wrap=True, highlight=False)
