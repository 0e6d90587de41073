"""SYNTHETIC input for audits without data: bars, pairs of bars, trades, quotes and books with a gap and two clocks.

They are made to give every feature something to do, not to resemble a market: what leaks is found on any input.
"""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.catalogue import KINDS
from features.cross.pairs import align_bars
from features.events import Events
from features.tape.merge import merge_tape

START_NS = 1_577_836_800_000_000_000
SILENCE_NS = 120_000_000_000
"""A pause in the middle of the events, longer than any session break of the default parameters."""
DELAY_NS = 20_000_000
"""Median way of an event from the exchange to here; some need several times that and hold up those behind them."""
TICK = 0.01


def sample_series(kind: str, rows: int, seed: int = 0) -> Any:
    """About `rows` rows of a kind, in the type that its `FeatureStream.update_many` takes."""
    if kind == "bars":
        return _sample_bars(rows, seed)
    if kind == "cross":
        return align_bars(_sample_bars(rows, seed), _sample_bars(rows, seed + 1))
    if kind == "tape":
        trades, quotes = rows // 2, rows - rows // 2
        return merge_tape(sample_events("trades", trades, seed), sample_events("quotes", quotes, seed + 1))
    return sample_events(kind, rows, seed)


def _sample_bars(rows: int, seed: int) -> BarArrays:
    """Bars of the synthetic market, one of them missing near the end."""
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=rows, seed=seed)).bars)
    keep = np.arange(rows) != rows - rows // 50
    return replace(bars, **{field.name: getattr(bars, field.name)[keep] for field in fields(bars)})


def sample_events(kind: str, rows: int, seed: int = 0) -> Events:
    """Trades, quotes or books on the exchange's clock, received later and, as over one connection, in that order."""
    rng = np.random.default_rng(seed)
    waits = np.where(rng.random(rows) < 0.3, 0, 1_000_000 * rng.geometric(0.02, rows))  # bursts share a stamp
    waits[rows - rows // 50] = SILENCE_NS
    time_ns = START_NS + np.cumsum(waits).astype(np.int64)
    local_ns = np.maximum.accumulate(time_ns + (DELAY_NS * np.exp(0.7 * rng.standard_normal(rows))).astype(np.int64))
    columns = _trades(rng, rows) if kind == "trades" else _levels(rng, rows, KINDS[kind].fields)
    return Events(time_ns, local_ns, columns)


def _best_bid(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Best bid in ticks, int64 (rows,): a walk that mostly stands still."""
    return 100_000 + np.cumsum(rng.integers(-1, 2, rows) * (rng.random(rows) < 0.3))


def _trades(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Trades at the touch, takers in runs, sizes with heavy tails."""
    taker_sells = np.cumsum(rng.random(rows) < 0.3) % 2
    return {
        "price": (_best_bid(rng, rows) + 1 - taker_sells) * TICK,
        "qty": np.round(np.exp(1.2 * rng.standard_normal(rows)), 3) + 0.001,
        "buyer_is_maker": taker_sells.astype(np.float64),
    }


def _levels(rng: np.random.Generator, rows: int, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Prices and sizes of a book's levels, tick by tick from the touch; a size stands for some rows before it changes.

    `names` are those of the kind: bid3_px is the third bid's price, bid_px the best one's.
    """
    bid = _best_bid(rng, rows)
    columns: dict[str, np.ndarray] = {}
    for name in names:
        side, level = name[:3], int(name[3 : name.index("_")] or 1)
        if name.endswith("_px"):
            columns[name] = (bid - level + 1 if side == "bid" else bid + level) * TICK
        else:
            sizes = np.round(np.exp(rng.standard_normal(rows)), 3) + 0.001
            columns[name] = sizes[np.maximum.accumulate(np.where(rng.random(rows) < 0.4, np.arange(rows), 0))]
    return columns
