"""Quotes and books for tests: a synthetic market with everything that a real one has, and recorded ones."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.book.catalogue import BOOK_FIELDS, LEVELS
from features.events import Events, read_events
from features.quotes.catalogue import QUOTE_FIELDS

RECORDED = {
    "spot": "binance_spot_BTCUSDT_2024-08-08T2354",
    "um": "binance_um_BTCUSDT_2024-08-08T2354",
    "cm": "binance_cm_BTCUSD_PERP_2024-08-08T2354",
}
"""Files under micro/ of the real data, by contract type: spot, USD-M and COIN-M perpetual."""
LOBSTER_EMPTY = 9_999_999_999.0
"""What LOBSTER writes for the price of a level that is not there (of a bid: minus this)."""


def as_events(time_ns: np.ndarray, fields: tuple[str, ...], columns: np.ndarray) -> Events:
    """Events of columns (fields, T), received 5 ms after the exchange stamped them."""
    values = {name: np.ascontiguousarray(column) for name, column in zip(fields, columns, strict=True)}
    return Events(time_ns, time_ns + 5_000_000, values)


def synthetic_books(count: int, seed: int, tick: float = 0.01, silences: int = 2, odd: bool = True) -> Events:
    """Ten levels a side on a grid with holes, a mid that wanders; time stamps that repeat, minutes of silence.

    With `odd` some rows lack levels (quantity 0, NaN, or LOBSTER's mark) or a whole side.
    """
    rng = np.random.default_rng(seed)
    grid = np.round(rng.lognormal(0.0, 1.5, 4_000), 3) * (rng.random(4_000) < 0.7)
    centre = 2_000
    columns = np.zeros((len(BOOK_FIELDS), count))
    for t in range(count):
        for tick_number in centre + rng.integers(-15, 16, rng.integers(1, 4)):
            grid[tick_number] = np.round(rng.lognormal(0.0, 1.5), 3) if rng.random() < 0.7 else 0.0
        if rng.random() < 0.15:
            centre += rng.choice((-1, 1))
            grid[[centre, centre + 1]] = np.round(rng.lognormal(0.0, 1.5, 2), 3)
        bids = centre - np.flatnonzero(grid[centre::-1][:200])[:LEVELS]
        asks = centre + 1 + np.flatnonzero(grid[centre + 1 : centre + 200])[:LEVELS]
        for first, levels in ((0, bids), (2 * LEVELS, asks)):
            columns[first : first + 2 * LEVELS : 2, t] = np.round((8_000 + levels) * tick, 10)
            columns[first + 1 : first + 2 * LEVELS : 2, t] = grid[levels]
    if odd:
        make_odd(columns, rng)
    waits_ms = np.where(rng.random(count) < 0.2, 0.0, rng.exponential(40.0, count))
    waits_ms[np.linspace(0, count, silences + 2)[1:-1].astype(np.int64)] = 61_000.0
    time_ns = 1_700_000_000_000_000_000 + np.cumsum(1_000 * np.round(1_000 * waits_ms)).astype(np.int64)
    return as_events(time_ns, BOOK_FIELDS, columns)


def make_odd(columns: np.ndarray, rng: np.random.Generator) -> None:
    """Empty the worst levels of every thirtieth book of (40, T), and a whole side of every hundredth."""
    count = columns.shape[1]
    for t in np.flatnonzero(rng.random(count) < 0.04):
        first = int(rng.choice((0, 2 * LEVELS)))
        kept = 0 if rng.random() < 0.3 else int(rng.integers(1, LEVELS))
        prices = slice(first + 2 * kept, first + 2 * LEVELS, 2)
        sizes = slice(first + 2 * kept + 1, first + 2 * LEVELS, 2)
        kind = rng.integers(3)
        columns[sizes, t] = np.nan if kind == 0 else 0.0
        if kind == 1:
            columns[prices, t] = LOBSTER_EMPTY if first else -LOBSTER_EMPTY


def synthetic_quotes(count: int, seed: int, tick: float = 0.01, silences: int = 2, odd: bool = True) -> Events:
    """The best levels of `synthetic_books`; with `odd` also quotes that are locked or crossed."""
    books = synthetic_books(count, seed, tick, silences, odd)
    columns = np.stack([books.columns[name] for name in ("bid1_px", "bid1_sz", "ask1_px", "ask1_sz")])
    if odd:
        rng = np.random.default_rng(seed + 1)
        locked = rng.random(count) < 0.01
        columns[2, locked] = columns[0, locked]
        crossed = rng.random(count) < 0.01
        columns[2, crossed] = columns[0, crossed] - tick
        columns[2] = np.where(columns[2] > 0.0, columns[2], columns[2] + 80.0)
    return as_events(books.time_ns, QUOTE_FIELDS, columns)


def real_data() -> Path:
    """The folder of real data; skips the test where it is not at hand."""
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    return Path(root)


def recorded_quotes(contract: str) -> Events:
    """Recorded updates of the best bid and ask, by the local clock."""
    return read_events(pq.read_table(real_data() / "micro" / f"{RECORDED[contract]}.bbo.parquet"), "quotes")


def recorded_books(contract: str) -> Events:
    """Recorded ten-level books, by the local clock."""
    return read_events(pq.read_table(real_data() / "micro" / f"{RECORDED[contract]}.l10.parquet"), "book")


def lobster_books() -> Events:
    """GOOG on 2012-06-21, prices in dollars, one book after each order event."""
    table = pq.read_table(real_data() / "lobster" / "lobster_GOOG_2012-06-21_L10.parquet")
    scales = [1e-4 if name.endswith("px") else 1.0 for name in BOOK_FIELDS]
    columns = [table[name].to_numpy() * scale for name, scale in zip(BOOK_FIELDS, scales, strict=True)]
    return as_events(table["time_ns"].to_numpy().astype(np.int64), BOOK_FIELDS, np.stack(columns))


def lobster_quotes() -> Events:
    """The best levels of `lobster_books`, at the events that changed them."""
    books = lobster_books()
    columns = np.stack([books.columns[name] for name in ("bid1_px", "bid1_sz", "ask1_px", "ask1_sz")])
    changed = np.append(True, (np.diff(columns) != 0.0).any(axis=0))
    return as_events(books.time_ns[changed], QUOTE_FIELDS, columns[:, changed])


def stretch_starts(events: Events, max_silence_ms: int) -> np.ndarray:
    """For each event the row at which its stretch began."""
    rows = np.arange(len(events))
    silence = np.diff(events.time_ns, prepend=0) > max_silence_ms * 1_000_000
    return np.maximum.accumulate(np.where(silence, rows, 0))
