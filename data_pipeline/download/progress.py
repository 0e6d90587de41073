"""One live display for a whole download: rows, rate, gaps and time left for each symbol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from data_pipeline.store.layout import Series


class Report(Protocol):
    """What a download tells while it runs."""

    def begin(self, series: Series, wanted: int) -> None:
        """`wanted` bars of `series` are still to be fetched."""

    def advance(self, series: Series, rows: int, gaps: int) -> None:
        """`rows` more bars are committed, `gaps` more are known to be missing."""

    def say(self, text: str) -> None:
        """Something that a person should read."""


class Silent:
    """A report that only remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, series: Series, wanted: int) -> None:
        """Nothing to show."""

    def advance(self, series: Series, rows: int, gaps: int) -> None:
        """Nothing to show."""

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")


class Live:
    """The report on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Series, TaskID] = {}
        self._gaps: dict[Series, int] = {}

    def begin(self, series: Series, wanted: int) -> None:
        """Add a line."""
        self._gaps[series] = 0
        self._tasks[series] = self._progress.add_task(str(series), total=wanted, gaps=0)

    def advance(self, series: Series, rows: int, gaps: int) -> None:
        """Move a line on."""
        self._gaps[series] += gaps
        self._progress.update(self._tasks[series], advance=rows + gaps, gaps=self._gaps[series])

    def say(self, text: str) -> None:
        """Print above the lines."""
        self._progress.console.print(text, highlight=False)


@contextmanager
def live_report(console: Console | None = None) -> Iterator[Live]:
    """A `Live` report for as long as the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        _RateColumn(),
        TextColumn("{task.fields[gaps]:,} missing"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Live(progress)
