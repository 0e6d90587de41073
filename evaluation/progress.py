"""One line per stage of a long job: what it does, how far it is, the latest figure, the time it took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Stage:
    """One line of the display."""

    def __init__(self, display: Progress, task: TaskID) -> None:
        self._display = display
        self._task = task

    def at(self, done: float, detail: str) -> None:
        """Show that `done` of the stage's total is done, and a short `detail` (the latest figure)."""
        self._display.update(self._task, completed=done, detail=detail)


class Stages:
    """The display of a job; use it as a context manager around all stages."""

    def __init__(self, console: Console) -> None:
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=console,
        )

    def __enter__(self) -> Stages:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    @contextmanager
    def stage(self, name: str, total: float = 1.0) -> Iterator[Stage]:
        """A stage of `total` units; its line stays when it is done, and shows where it stood when it fails."""
        task = self._display.add_task(f"{name:<24}", total=total, detail="")
        yield Stage(self._display, task)
        self._display.update(task, completed=total)
