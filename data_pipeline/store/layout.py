"""Names and places: a series, its months, the path of each sealed part, spans of time."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data_pipeline.errors import InputError
from data_pipeline.schema import DAY_MS, INTERVAL_MS

LEDGER_FILE = "ledger.sqlite"
LOCK_FILE = ".lock"
QUARANTINE = "quarantine"
TRADES = "trades"
"""The interval under which aggregated trades are kept: one part a day instead of one a month."""

Span = tuple[int, int]
"""[start, stop) in UTC milliseconds."""


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One table of rows: a venue such as binance_spot, a symbol such as BTCUSDT, an interval such as 1m (or trades)."""

    venue: str
    symbol: str
    interval: str = "1m"

    def __post_init__(self) -> None:
        if self.interval != TRADES and self.interval not in INTERVAL_MS:
            raise InputError(f"interval {self.interval!r} is unknown", remedy=f"use one of {' '.join(INTERVAL_MS)}")
        for name in (self.venue, self.symbol):
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
                raise InputError(f"{name!r} cannot be part of a path", remedy="use letters, digits, '_', '.' and '-'")

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol} {self.interval}"

    @property
    def interval_ms(self) -> int:
        """Milliseconds from one row's open to the next; KeyError for trades, which have no grid."""
        return INTERVAL_MS[self.interval]

    def folder(self) -> Path:
        """The series' folder in the lake, Hive style, relative to the store."""
        if self.interval == TRADES:
            return Path("trades") / f"venue={self.venue}" / f"symbol={self.symbol}"
        return Path("bars") / f"venue={self.venue}" / f"symbol={self.symbol}" / f"interval={self.interval}"

    def part_path(self, start_ms: int) -> Path:
        """The file that holds the month (for trades: the day) beginning at `start_ms`, relative to the store."""
        if self.interval == TRADES:
            return self.folder() / f"day={day_label(start_ms)}" / "part.parquet"
        return self.folder() / f"month={month_label(start_ms)}" / "part.parquet"


def month_span(time_ms: int) -> Span:
    """[start, stop) of the UTC month that holds `time_ms`."""
    moment = datetime.fromtimestamp(time_ms / 1000, tz=UTC)
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    start = calendar.timegm(first.timetuple()) * 1000
    return start, start + calendar.monthrange(moment.year, moment.month)[1] * DAY_MS


def month_label(time_ms: int) -> str:
    """Such as 2024-01."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m")


def day_label(time_ms: int) -> str:
    """Such as 2024-01-05."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d")


def split_by_month(span: Span) -> list[Span]:
    """`span` cut at month borders."""
    pieces, (start, stop) = [], span
    while start < stop:
        border = min(month_span(start)[1], stop)
        pieces.append((start, border))
        start = border
    return pieces


def to_ms(value: int | str | datetime | None, name: str) -> int | None:
    """A moment as UTC milliseconds: an integer already is, ISO text and datetimes are UTC unless they say otherwise."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(
                f"{name} {value!r} is not an ISO date", remedy="write such as 2026-03-01 or 2026-03-01T12:00"
            ) from None
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return round(value.timestamp() * 1000)


def merge(spans: list[Span]) -> list[Span]:
    """The union of spans as disjoint spans in order."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def subtract(span: Span, covered: list[Span]) -> list[Span]:
    """What of `span` no span of `covered` holds, in order."""
    left, (start, stop) = [], span
    for low, high in merge(covered):
        if high <= start or low >= stop:
            continue
        if low > start:
            left.append((start, low))
        start = max(start, high)
    if start < stop:
        left.append((start, stop))
    return left
