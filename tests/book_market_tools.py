"""Small book markets for tests: tapes written by hand, and random ones."""

from typing import Any

import numpy as np

from data_pipeline.instruments import Instrument
from envs.book.backtest import BookBacktest, BookResult
from envs.book.columns import BOOK_COLUMNS
from envs.book.config import BookConfig
from envs.book.market import BookMarket, decision_times
from envs.book.recording import Recording, join_recording
from features.book.catalogue import BOOK_FIELDS, LEVELS
from features.events import Events

START_MS = 1_700_000_000_000
PERPETUAL = Instrument("TEST", 0.1, 0.01, 5.0, maker_fee_bps=2.0, taker_fee_bps=5.0)
TRADE_FIELDS = ("price", "qty", "buyer_is_maker")
INF = np.inf


def as_events(times_ms: Any, columns: np.ndarray, fields: tuple[str, ...], late_ms: float = 0.0) -> Events:
    """Events at `times_ms` after the start, columns (T, F), received `late_ms` after they happened."""
    since = np.round(np.asarray(times_ms, dtype=np.float64) * 1e6).astype(np.int64)
    time = START_MS * 1_000_000 + since
    values = np.asarray(columns, dtype=np.float64).reshape(len(time), len(fields))
    received = time + round(late_ms * 1e6)
    return Events(time, received, {name: values[:, k].copy() for k, name in enumerate(fields)})


def ladder(bids: str, asks: str) -> list[float]:
    """A book written as "99.9x5 99.8x9": price x size, best first."""
    sides = [[tuple(map(float, level.split("x"))) for level in side.split()] for side in (bids, asks)]
    return [number for side in sides for level in side + [(0.0, 0.0)] * (LEVELS - len(side)) for number in level]


def record(*tape: tuple, end: float = 4_000.0, late_ms: float = 0.0, **settings: Any) -> Recording:
    """A recording of (ms, bids, asks) and (ms, "buy" or "sell", price, size), its last book shown again at the end."""
    books = [(row[0], ladder(*row[1:])) for row in tape if len(row) == 3]
    books.append((end + 1, books[-1][1]))
    trades = [(ms, (price, size, side == "sell")) for ms, side, price, size in (row for row in tape if len(row) == 4)]
    return join_recording(
        as_events([row[0] for row in trades], [row[1] for row in trades], TRADE_FIELDS, late_ms),
        as_events([row[0] for row in books], [row[1] for row in books], BOOK_FIELDS, late_ms),
        **{"max_silence_ms": 60_000, **settings},
    )


def build(recording: Recording, instrument: Instrument = PERPETUAL, step_ms: int = 1_000) -> BookMarket:
    """A book market with one observation column, the number of the row."""
    steps = decision_times(recording, step_ms)
    rows = np.arange(len(steps), dtype=np.float64)[:, None] % 100.0
    return BookMarket.from_recording(recording, steps, rows, ("row",), instrument)


def tape_market(*tape: tuple, instrument: Instrument = PERPETUAL, **settings: Any) -> BookMarket:
    """`build` of `record`."""
    return build(record(*tape, **settings), instrument)


def replay(market: BookMarket, orders: list, capital: float = 1_000.0, **settings: Any) -> BookResult:
    """One lane's orders, a row each (short rows are filled up with inf), flat after the last."""
    rows = np.tile([0.0, INF, INF, INF, INF], (len(market), 1, 1))
    for row, order in enumerate(orders):
        rows[row, 0, : len(order)] = order
    return BookBacktest(market, BookConfig(initial_capital=capital, **settings)).replay(rows)


def fills_of(result: BookResult) -> list[tuple]:
    """(ms, signed size, price, maker, reason) of each fill."""
    rows = result.fills.to_pylist()
    return [
        (
            (row["time_ns"] - START_MS * 1_000_000) / 1e6,
            round(row["side"] * row["qty"], 8),
            round(row["price"], 8),
            row["maker"],
            row["reason"],
        )
        for row in rows
    ]


def random_recording(seed: int, seconds: int = 60, gap: bool = False) -> Recording:
    """A wandering mid, books of random depth on the tick every 20 to 200 ms, trades at and through the touch."""
    rng = np.random.default_rng(seed)
    book_times = np.cumsum(rng.integers(20, 200, seconds * 20)).astype(np.float64)
    book_times = book_times[book_times < 1_000 * (seconds + 1)]
    if gap:
        book_times[len(book_times) // 2 :] += 20_000.0
    centre = 10_000 + np.cumsum(rng.integers(-2, 3, len(book_times)))
    books = np.zeros((len(book_times), BOOK_COLUMNS))
    for k, middle in enumerate(centre.tolist()):
        for first, sign in ((0, -1), (2 * LEVELS, 1)):
            steps = np.cumsum(rng.integers(1, 3, LEVELS))
            books[k, first : first + 2 * LEVELS : 2] = (middle + sign * steps) / 10.0
            books[k, first + 1 : first + 2 * LEVELS : 2] = rng.integers(1, 300, LEVELS) / 100.0
    count = seconds * 30
    trade_times = np.sort(rng.uniform(0, book_times[-1], count)).round()
    if gap:
        middle = book_times[len(book_times) // 2]
        trade_times = trade_times[(trade_times < middle - 20_000) | (trade_times > middle)]
    at = np.clip(np.searchsorted(book_times, trade_times) - 1, 0, None)
    buys = rng.random(len(at)) < 0.5
    ticks = np.where(buys, centre[at] + 1, centre[at] - 1) + np.where(buys, 1, -1) * rng.integers(0, 4, len(at))
    trades = np.stack([ticks / 10.0, rng.integers(1, 200, len(at)) / 100.0, ~buys], axis=1)
    return join_recording(
        as_events(trade_times, trades, TRADE_FIELDS, 7.0), as_events(book_times, books, BOOK_FIELDS, 5.0)
    )


def random_orders(rng: np.random.Generator, rows: int, lanes: int) -> np.ndarray:
    """Orders (rows, lanes, 5) of every kind: sides that last, brackets, time-outs, market and limit entries, NaN."""
    orders = np.full((rows, lanes, 5), np.inf)
    shape = (rows, lanes)
    side = rng.choice([1.0, 0.4, -0.4, -1.0, 0.0, np.nan], shape)
    keep = rng.random(shape) < 0.7
    for t in range(1, rows):
        side[t] = np.where(keep[t], side[t - 1], side[t])
    orders[:, :, 0] = side
    orders[:, :, 1] = rng.choice([3.0, 10.0, 30.0, np.inf], shape)
    orders[:, :, 2] = rng.choice([3.0, 10.0, 30.0, np.inf], shape)
    orders[:, :, 3] = rng.choice([1.0, 4.0, np.inf], shape)
    orders[:, :, 4] = rng.choice([0.0, 2.0, 20.0, np.inf], (1, lanes))
    return orders
