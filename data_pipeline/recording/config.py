"""Settings of a recording. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_pipeline.errors import InputError

MOST_SUBSCRIPTIONS = 200  # on one connection: the limit of USD-M, and of ccxt
Stream = Literal["book", "trades", "bbo"]


@dataclass(frozen=True)
class RecordConfig:
    """What to record, where to, and the bounds that it runs in."""

    symbols: tuple[str, ...]
    """Symbols as ccxt writes them, all spot (BTC/USDT) or all perpetuals (BTC/USDT:USDT)."""
    streams: tuple[Stream, ...] = ("book", "trades", "bbo")
    """book: every diff of the book, with snapshots. trades: every trade. bbo: every change of the best prices."""
    out: Path = Path("recordings")
    """Folder of the recording; one recorder at a time writes to it."""
    exchange: str = "binance"
    """Exchange; the sequence rules of its books must be known, so: binance."""
    minutes: float | None = None
    """Stop after this long; without it, at Ctrl-C."""
    stale_s: float = 2.5
    """Reconnect when the whole connection has brought nothing for this long (the server may still answer pings)."""
    stream_stale_s: float = 60.0
    """Reconnect when a book or bbo stream that has begun pauses for this long, though others flow; 0 is never."""
    connect_s: float = 10.0
    """Time that a new connection has until its first event."""
    snapshot_limit: int = 1000
    """Levels a side of a REST snapshot. When the price has moved to their edge, a new snapshot is taken."""
    book_rate_ms: int = 100
    """Pace of the book stream: 100 or 1000 (spot), 0, 100, 250 or 500 (perpetuals)."""
    refetch_trades: int = 100_000
    """Missed trades are asked for by REST when a hole has at most this many; 0 is never."""
    queue_events: int = 20_000
    """Events that may wait for the disk; further ones are dropped, counted, and their books taken anew."""
    flush_s: float = 0.1
    """Longest that an event stays in the process: what kill -9 can lose."""
    sync_s: float = 1.0
    """Longest that an event stays unsynced: what a power cut can lose."""
    rotate_minutes: float = 60.0
    """A log segment is closed and sealed to Parquet at multiples of this in UTC, ..."""
    rotate_mb: float = 512.0
    """... or at this size."""

    def __post_init__(self) -> None:
        if not self.symbols:
            raise InputError("no symbol is given", where="--symbols", remedy="give at least one, such as BTC/USDT")
        if not self.streams:
            raise InputError("no stream is given", where="--streams", remedy="use book, trades or bbo")
        if self.exchange != "binance":
            raise InputError(
                f"exchange {self.exchange!r} cannot be recorded: the sequence rules of its books are not built in",
                where="--exchange",
                remedy="use binance (spot, or perpetuals as BTC/USDT:USDT)",
            )
        for name in ("stale_s", "connect_s", "queue_events", "flush_s", "sync_s", "rotate_minutes", "rotate_mb"):
            self._check(name, getattr(self, name), 0.0)
        if self.minutes is not None:
            self._check("minutes", self.minutes, 0.0)
        self._check("refetch_trades", self.refetch_trades, -1.0)
        if not 20 <= self.snapshot_limit <= 5000:
            raise InputError(
                f"{self.snapshot_limit} levels", where="--snapshot-limit", remedy="use 20 to 5000 (1000 for perpetuals)"
            )
        if len(self.symbols) * len(self.streams) > MOST_SUBSCRIPTIONS:
            raise InputError(
                f"{len(self.symbols)} symbols with {len(self.streams)} streams each are too many for one connection",
                where="--symbols",
                remedy=f"at most {MOST_SUBSCRIPTIONS // len(self.streams)}; start several recorders",
            )

    @staticmethod
    def _check(name: str, value: float, low: float) -> None:
        if not (math.isfinite(value) and value > low):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{value} is not above {low:g}", where=option, remedy=f"use a value above {low:g}")
