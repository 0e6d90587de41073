"""Small markets for tests of envs."""

from typing import Any

import numpy as np

from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.config import MarketConfig
from envs.costs import TradingCosts
from envs.market import Market

MINUTE_MS = 60_000
FIRST_MS = 1_700_000_040_000

PERPETUAL = Instrument("TEST", 0.1, 0.01, 5.0, maker_fee_bps=2.0, taker_fee_bps=5.0, contract="linear")
SPOT = Instrument("TESTSPOT", 0.1, 0.01, 5.0, maker_fee_bps=10.0, taker_fee_bps=10.0, contract="spot")


def plain(**settings: Any) -> MarketConfig:
    """Rules without impact, latency and participation cap: market orders cost the fee and the half-spread alone."""
    return MarketConfig(impact=0.0, latency_ms=0.0, max_participation=np.inf, **settings)


def build_market(
    bars: np.ndarray,
    *,
    instrument: Instrument = PERPETUAL,
    minutes: np.ndarray | None = None,
    observations: np.ndarray | None = None,
    volume: np.ndarray | float = 1e9,
    **more: Any,
) -> Market:
    """A market of bars float (T, 4) open, high, low, close, opening at `minutes` (consecutive by default).

    The volume is far beyond any order by default: no participation cap, no impact worth naming.
    `more`: `costs`, `finer`.
    """
    bars = np.asarray(bars, dtype=np.float64)
    minutes = np.arange(len(bars)) if minutes is None else np.asarray(minutes)
    ones = np.ones(len(bars))
    volume = np.broadcast_to(np.asarray(volume, dtype=np.float64), len(bars)).copy()
    columns = [np.ascontiguousarray(column) for column in bars.T]
    rows = BarArrays(FIRST_MS + MINUTE_MS * minutes.astype(np.int64), *columns, volume, ones, ones, ones, ones)
    if observations is None:
        observations = np.zeros((len(bars), 1), dtype=np.float32)
    names = tuple(f"x{k}" for k in range(observations.shape[1]))
    return Market.build(rows, observations, names, instrument, **more)


def random_bars(rng: np.random.Generator, rows: int, *, tick: float = 0.1, start: float = 1_000.0) -> np.ndarray:
    """Bars (rows, 4) on the tick: calm and wild stretches, jumps between bars, motionless bars."""
    ticks = start / tick
    scale = ticks * rng.choice([0.0002, 0.001, 0.004], size=rows, p=[0.3, 0.5, 0.2])
    moves = rng.normal(0, 1, rows) * scale
    jumps = np.where(rng.random(rows) < 0.05, rng.normal(0, 0.004 * ticks, rows), rng.integers(-1, 2, rows))
    opens, closes = np.empty(rows), np.empty(rows)
    last = ticks
    for t in range(rows):
        opens[t] = max(np.round(last + jumps[t]), 0.2 * ticks)
        closes[t] = max(np.round(opens[t] + moves[t]), 0.2 * ticks)
        last = closes[t]
    highs = np.maximum(opens, closes) + np.round(np.abs(rng.normal(0, 1, rows)) * scale)
    lows = np.minimum(opens, closes) - np.round(np.abs(rng.normal(0, 1, rows)) * scale)
    lows = np.maximum(lows, 0.1 * ticks)
    still = rng.random(rows) < 0.05
    highs[still] = lows[still] = closes[still] = opens[still]
    # Prices as decimals parsed from text: n / 10 is the float64 nearest to the tick's decimal.
    return np.stack([opens, highs, lows, closes], axis=1) / np.round(1 / tick)


def random_market(
    seed: int, rows: int = 300, *, instrument: Instrument = PERPETUAL, columns: int = 3, holes: bool = True
) -> Market:
    """Random bars with random observations; with `holes`, also gaps, a warm-up and rows that cannot be traded."""
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, rows)
    observations = rng.normal(size=(rows, columns)).astype(np.float32)
    minutes = np.arange(rows)
    if holes:
        minutes = np.cumsum(1 + (rng.random(rows) < 0.02) * rng.integers(1, 50, rows))
        observations[: min(5, rows // 4), 0] = np.nan
        observations[rng.random(rows) < 0.01, -1] = np.nan
    return build_market(bars, instrument=instrument, minutes=minutes, observations=observations)


def finer_bars(
    rng: np.random.Generator, bars: np.ndarray, minutes: np.ndarray, *, share: float = 0.7, tick: float = 0.1
) -> BarArrays:
    """Two to five bars inside a `share` of the minutes of `bars` (T, 4), on the tick; a few minutes lack some of them.

    They begin at the minute's open, end at its close, jump between each other, and together span its range.
    """
    per_unit = np.round(1 / tick)
    times, rows = [], []
    for minute, (opening, high, low, close) in zip(minutes, np.round(bars * per_unit), strict=True):
        if rng.random() > share:
            continue
        count = int(rng.integers(2, 6))
        opens, closes = rng.integers(low, high + 1, (2, count))
        opens[0], closes[-1] = opening, close
        highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
        highs[rng.integers(count)], lows[rng.integers(count)] = high, low
        kept = rng.random(count) > (0.3 if rng.random() < 0.2 else 0.0)
        offsets = np.arange(count) * (MINUTE_MS // 5)
        times.append(FIRST_MS + MINUTE_MS * minute + offsets[kept])
        rows.append(np.stack([opens, highs, lows, closes], axis=1)[kept])
    prices = np.concatenate(rows) / per_unit
    ones = np.ones(len(prices))
    columns = [np.ascontiguousarray(column) for column in prices.T]
    return BarArrays(np.concatenate(times).astype(np.int64), *columns, ones, ones, ones, ones, ones)


def rich_market(
    seed: int, rows: int = 300, *, instrument: Instrument = PERPETUAL, finer: bool = True, holes: bool = True
) -> Market:
    """A market with everything that a rule can need: thin, empty and unknown volumes, half-spreads in some rows,
    impact, funding (not on spot), finer bars in some minutes, from 300 rows on more than one UTC day, and, with
    `holes`, gaps and rows that cannot be traded."""
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, rows)
    minutes = np.cumsum(1 + (rng.random(rows) < 0.02) * rng.integers(1, 50, rows)) if holes else np.arange(rows)
    observations = rng.normal(size=(rows, 2)).astype(np.float32)
    observations[(rng.random(rows) < 0.01) & holes, -1] = np.nan
    volume = rng.lognormal(np.log(60.0), 1.5, rows)
    volume[rng.random(rows) < 0.04] = 0.0
    volume[rng.random(rows) < 0.04] = np.nan
    if instrument.contract == "inverse":
        volume *= 100.0  # counted in quote units, and the tests' accounts are small
    half_spread = np.where(rng.random(rows) < 0.5, np.nan, rng.choice([0.0, 3e-5, 4e-4], rows))
    impact = rng.choice([0.0, 3e-5, 2e-4], rows) / (1.0 if instrument.contract != "inverse" else 10.0)
    funding = np.where(rng.random(rows) < 0.05, rng.normal(0, 5e-4, rows), 0.0)
    costs = TradingCosts(half_spread, impact, None if instrument.contract == "spot" else funding)
    return build_market(
        bars,
        instrument=instrument,
        minutes=minutes,
        observations=observations,
        volume=volume,
        costs=costs,
        finer=finer_bars(rng, bars, minutes) if finer else None,
    )


def random_orders(rng: np.random.Generator, rows: int, lanes: int = 1, *, hold: float = 0.9) -> np.ndarray:
    """Orders (rows, lanes, 5), market entries: a target that lasts some bars, brackets and ttl of all kinds."""
    orders = np.full((rows, lanes, 5), np.inf)
    target = np.zeros(lanes)
    for t in range(rows):
        fresh = rng.random(lanes) > hold
        size = rng.choice([1.0, 0.5, 0.03], lanes) * rng.choice([-1.0, 0.0, 1.0], lanes, p=[0.4, 0.2, 0.4])
        target = np.where(fresh, size, target)
        orders[t, :, 0] = target
    shape = (rows, lanes)
    orders[:, :, 1] = rng.choice([3.0, 10.0, 30.0, 100.0, np.inf], shape)
    orders[:, :, 2] = rng.choice([0.5, 5.0, 20.0, 100.0, np.inf], shape)
    orders[:, :, 3] = rng.choice([1.0, 2.0, 7.0, 60.0, np.inf], shape)
    return orders


def varied_orders(rng: np.random.Generator, rows: int, lanes: int = 1, *, hold: float = 0.9) -> np.ndarray:
    """`random_orders` of which some want whatever is held (NaN), and some stretches enter by limit orders."""
    orders = random_orders(rng, rows, lanes, hold=hold)
    orders[rng.random((rows, lanes)) < 0.1, 0] = np.nan
    patient = np.repeat(rng.random((-(-rows // 10), lanes)) < 0.5, 10, axis=0)[:rows]
    orders[..., 4] = np.where(patient, rng.choice([0.0, 2.0, 7.0, 30.0], (rows, lanes)), np.inf)
    return orders
