"""Recorded trades and ten-level books of one symbol, merged in the order of the exchange's clock."""

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import InputError
from envs.book.columns import ASKS, BOOK, BOOK_COLUMNS, EVENT_COLUMNS, PRICE, SIZE, TAKER
from features.book.catalogue import BOOK_FIELDS
from features.events import Events, read_events

MAX_SILENCE_MS = 5_000
"""Books farther apart than this are a gap in the recording, by default."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What the exchange did, event by event.

    event_time_ns  int64 (E,)     exchange clock, non-decreasing
    events         float64 (E,4)  see `envs.book.columns`; trades stand before a book of the same time stamp
    books          float64 (B,40) after each depth event, see `envs.book.columns`
    book_time_ns   int64 (B,)     exchange clock
    book_local_ns  int64 (B,)     when each book was received, local clock, non-decreasing
    clock_ahead_ns how far the exchange's clock is ahead of the local one, taking the quickest message to have needed
                   no time at all
    holes          int64 (H,2)    exchange times between which something is missing
    """

    event_time_ns: np.ndarray
    events: np.ndarray
    books: np.ndarray
    book_time_ns: np.ndarray
    book_local_ns: np.ndarray
    clock_ahead_ns: int
    holes: np.ndarray


def join_recording(
    trades: Events, books: Events, *, breaks: np.ndarray | None = None, max_silence_ms: int = MAX_SILENCE_MS
) -> Recording:
    """Merge trades (price, qty, buyer_is_maker) and books (ten levels a side), both on the exchange's clock.

    `breaks` int64 (K,) names trades before which others are missing. Raises InputError for trades and books that no
    exchange can have made: sizes or prices that are not positive, a crossed or one-sided book, levels out of order.
    """
    _check_trades(trades)
    ladders = np.ascontiguousarray(np.stack([books.columns[name] for name in BOOK_FIELDS], axis=1))
    _check_books(ladders)
    count = len(trades)
    times = np.concatenate([trades.time_ns, books.time_ns])
    # Stable, with the trades first: a book that bears the time of a trade shows what the trade left.
    order = np.argsort(times, kind="stable")
    events = np.zeros((len(times), EVENT_COLUMNS))
    events[:count, TAKER] = np.where(trades.columns["buyer_is_maker"] != 0.0, -1.0, 1.0)
    events[:count, PRICE] = trades.columns["price"]
    events[:count, SIZE] = trades.columns["qty"]
    events = np.ascontiguousarray(events[order])
    events[:, BOOK] = np.cumsum(events[:, TAKER] == 0.0) - 1
    ahead = max(int(np.max(part.time_ns - part.local_time_ns)) for part in (trades, books) if len(part))
    return Recording(
        event_time_ns=np.ascontiguousarray(times[order]),
        events=events,
        books=ladders,
        book_time_ns=books.time_ns,
        book_local_ns=np.maximum.accumulate(books.local_time_ns),
        clock_ahead_ns=ahead,
        holes=_holes(trades, books, np.empty(0, dtype=np.int64) if breaks is None else breaks, max_silence_ms),
    )


def read_recording(
    trades_path: str | os.PathLike,
    books_path: str | os.PathLike,
    *,
    contract_size: float = 1.0,
    max_silence_ms: int = MAX_SILENCE_MS,
) -> Recording:
    """Read a recording from two Parquet files (`data_pipeline.recording` writes them).

    Trades: local_ts_ns, trade_time_ms, price, qty, buyer_is_maker and, to find missing ones, trade_id. Books:
    local_ts_ns, trans_time_ms or event_time_ms, update_id, and bid1_px, bid1_sz ... ask10_sz. `contract_size` is what
    one unit of the recorded sizes stands for (100 for contracts of 100 USD). Raises InputError as `join_recording`
    does, and for books whose update_id does not rise.
    """
    trade_table, book_table = _read(trades_path), _read(books_path)
    trades, books = read_events(trade_table, "trades", clock="exchange"), read_events(book_table, "book", "exchange")
    breaks = np.empty(0, dtype=np.int64)
    if "trade_id" in trade_table.column_names:
        breaks = np.flatnonzero(np.diff(trade_table["trade_id"].to_numpy()) != 1) + 1
    if "update_id" in book_table.column_names:
        stale = np.flatnonzero(np.diff(book_table["update_id"].to_numpy()) <= 0)
        if len(stale):
            raise InputError(
                "update_id does not rise", where=f"{books_path}, row {stale[0] + 1}", remedy="sort it, drop repeats"
            )
    if contract_size != 1.0:
        trades.columns["qty"] = trades.columns["qty"] * contract_size
        for name in BOOK_FIELDS:
            if name.endswith("_sz"):
                books.columns[name] = books.columns[name] * contract_size
    return join_recording(trades, books, breaks=breaks, max_silence_ms=max_silence_ms)


def _read(path: str | os.PathLike) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError("not a readable Parquet file", where=str(path), remedy="give a recorded table") from error


def _check_trades(trades: Events) -> None:
    price, size = trades.columns["price"], trades.columns["qty"]
    bad = ~((price > 0.0) & (size > 0.0) & np.isfinite(price) & np.isfinite(size))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"price {price[row]}, size {size[row]} are no trade", where=f"trades, row {row}", remedy="drop the row"
        )


def _check_books(books: np.ndarray) -> None:
    """Raise InputError at the first book that cannot be one; levels that are not there have size 0 and stand last."""

    def refuse(bad: np.ndarray | np.bool_, what: str, remedy: str) -> None:
        if bad.any():
            raise InputError(what, where=f"books, row {int(np.argmax(bad))}", remedy=remedy)

    if len(books) == 0 or books.shape[1] != BOOK_COLUMNS:
        raise InputError(f"books have shape {books.shape}, not (B, {BOOK_COLUMNS})", where="books", remedy="ten levels")
    sizes, prices = books[:, 1::2].reshape(-1, 2, ASKS // 2), books[:, ::2].reshape(-1, 2, ASKS // 2)
    shown = sizes > 0.0
    refuse(
        ~((sizes >= 0.0) & np.isfinite(sizes)).all(axis=(1, 2)), "a size is negative or not a number", "drop the row"
    )
    refuse(~shown[:, :, 0].all(axis=1), "a side is empty", "drop the row: nothing can be marked without both sides")
    refuse((shown[:, :, 1:] & ~shown[:, :, :-1]).any(axis=(1, 2)), "a level is missing before another", "close ranks")
    refuse(
        (shown & ~((prices > 0.0) & np.isfinite(prices))).any(axis=(1, 2)), "a price is not positive", "drop the row"
    )
    steps = np.diff(prices, axis=2) * np.array([-1.0, 1.0])[:, None]
    refuse((shown[:, :, 1:] & (steps <= 0.0)).any(axis=(1, 2)), "levels are out of order", "sort them, best first")
    refuse(prices[:, 0, 0] >= prices[:, 1, 0], "the book is crossed", "resynchronise the recording there")


def _holes(trades: Events, books: Events, breaks: np.ndarray, max_silence_ms: int) -> np.ndarray:
    """Exchange times (H, 2) between which books are silent for too long, or trades are missing."""
    silent = np.flatnonzero(np.diff(books.time_ns) > max_silence_ms * 1_000_000)
    holes = [(int(books.time_ns[k]), int(books.time_ns[k + 1])) for k in silent]
    for k in breaks.tolist():
        later = int(np.searchsorted(books.time_ns, trades.time_ns[k], side="right"))
        end = int(books.time_ns[later]) if later < len(books) else int(books.time_ns[-1]) + 1
        holes.append((int(trades.time_ns[k - 1]), end))
    return np.array(sorted(holes), dtype=np.int64).reshape(-1, 2)
