"""Bars, signals and settings on which a peer's rules and ours are the same, so that outcomes must be equal.

What peers do not know is switched off: spread, impact, latency, participation, time-outs, and steps (so fine here that
they round nothing). What they do otherwise than we do is kept from happening, by the bars and the signals:

- Prices are no multiples of anything, so that no barrier is touched without being traded through.
- On bars without gaps each opens where the last one closed: a fill at a bar's close is one at the next open.
- Size is constant, or a share of equity, that leaves room for fees.
"""

import numpy as np
import pandas as pd

from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.config import MarketConfig
from envs.market import Market

INSTRUMENT = Instrument("PEERS", 1e-12, 1e-10, 0.0, maker_fee_bps=0.0, taker_fee_bps=0.0)
CONFIG = MarketConfig(
    half_spread_bps=0.0,
    impact=0.0,
    latency_ms=0.0,
    max_participation=np.inf,
    ttl_bars=np.inf,
    stop_out_fraction=1e-3,
)
_START_MS = 1_704_067_200_000
_STEPS = 4
"""Steps of the random walk inside a bar."""


def random_bars(count: int, seed: int, gap_bps: float = 0.0) -> np.ndarray:
    """SYNTHETIC random walk, 5 bps a bar: float64 (count, 4) open, high, low, close.

    One bar in fifty opens `gap_bps` above or below the last close.
    """
    rng = np.random.default_rng(seed)
    steps = 2.5e-4 * rng.standard_normal((count, _STEPS))
    gaps = 1e-4 * gap_bps * rng.choice([-1.0, 1.0], count) * (rng.random(count) < 0.02)
    path = np.cumsum(np.column_stack([gaps, steps]).ravel()).reshape(count, _STEPS + 1)
    prices = 100.0 * np.exp(path)
    if gap_bps == 0.0:
        prices[1:, 0] = prices[:-1, -1]  # to the last bit
    return np.column_stack([prices[:, 0], prices.max(axis=1), prices.min(axis=1), prices[:, -1]])


def market_of(prices: np.ndarray, instrument: Instrument = INSTRUMENT) -> Market:
    """The bars as a market with nothing to observe."""
    count = len(prices)
    times = _START_MS + 60_000 * np.arange(count)
    columns = [np.ascontiguousarray(prices[:, k]) for k in range(4)]
    bars = BarArrays(times, *columns, *[np.ones(count)] * 5)
    return Market.build(bars, np.zeros((count, 1), dtype=np.float32), ("nothing",), instrument)


def cross_signals(close: np.ndarray, fast: int = 20, slow: int = 60) -> np.ndarray:
    """int8 (T,): 1 where the fast exponential average of the closes crosses above the slow one, -1 below, else 0.

    The last signal is -1 and leaves a bar to act in, so that nothing is open at the end.
    """
    prices = pd.Series(close)
    above = (prices.ewm(span=fast, adjust=False).mean() > prices.ewm(span=slow, adjust=False).mean()).to_numpy()
    signals = np.zeros(len(close), dtype=np.int8)
    signals[1:] = np.where(above[1:] != above[:-1], np.where(above[1:], 1, -1), 0)
    signals[-2:] = -1, 0
    return signals
