"""A half-spread for bars without quotes, from the bars themselves and never looking ahead."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.columns import HALF_SPREAD
from envs.config import MarketConfig
from envs.costs import DAY_MS
from envs.market import Market

# State of the model, float64: averages of the product and of the weights, logs of the last bar.
PRODUCT, WEIGHT, LAST_CLOSE, LAST_MIDDLE = range(4)


@njit(cache=True, error_model="numpy")
def _half_spreads(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    follows: np.ndarray,
    decay: float,
    scale: float,
    floor: float,
    state: np.ndarray,
    out: np.ndarray,
) -> None:
    for t in range(len(close)):
        last, middle = np.log(close[t]), 0.5 * (np.log(high[t]) + np.log(low[t]))
        if follows[t]:
            product = (state[LAST_CLOSE] - state[LAST_MIDDLE]) * (state[LAST_CLOSE] - middle)
            state[PRODUCT] += decay * (product - state[PRODUCT])
            state[WEIGHT] += decay * (1.0 - state[WEIGHT])
        state[LAST_CLOSE], state[LAST_MIDDLE] = last, middle
        half = np.sqrt(max(state[PRODUCT] / state[WEIGHT], 0.0)) if state[WEIGHT] > 0.0 else 0.0
        out[t] = max(scale * half, floor / close[t])


@dataclass(eq=False)
class SpreadModel:
    """Half-spread of one instrument, by the estimator of Abdi & Ranaldo (2017) and never under a part of a tick.

    Their spread is S² = 4 E[(c[-1] - η[-1]) (c[-1] - η)], c the log close, η the middle of the log range. The mean is
    an exponential average with a half-life of a day, so after bar t it is known; pairs across a gap are left out. Where
    the mean is negative, as in markets whose spread is small beside their moves, it says nothing and the floor holds.
    `scale` and `floor_ticks` can be fitted to recorded books (`envs.book.calibration`).
    """

    tick_size: float
    interval_ms: int = 60_000
    scale: float = 1.0
    """What the estimate is multiplied by."""
    floor_ticks: float = 0.5
    """Least half-spread in ticks: no quoted spread is under one tick."""
    state: np.ndarray = field(default_factory=lambda: np.zeros(4))
    """float64 (4,): everything that changes."""

    def __post_init__(self) -> None:
        """Raises InputError for a tick or interval that is not positive, and a negative scale or floor."""
        if not (self.tick_size > 0 and self.interval_ms > 0 and self.scale >= 0 and self.floor_ticks >= 0):
            raise InputError(
                f"tick {self.tick_size}, interval {self.interval_ms}, scale {self.scale}, floor {self.floor_ticks}",
                where="spread model",
                remedy="tick and interval must be positive, the others 0 or more",
            )

    def update(
        self, open_time_ms: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, first: bool = False
    ) -> np.ndarray:
        """Take in bars (arrays (T,)) in time order; returns the half-spread known at each close, float64 (T,), as a
        fraction of the price. `first` says whether the first bar follows the last one taken in."""
        follows = np.empty(len(close), dtype=np.bool_)
        follows[:1] = first
        follows[1:] = np.diff(open_time_ms) == self.interval_ms
        out = np.empty(len(close))
        decay = 1.0 - 0.5 ** (self.interval_ms / DAY_MS)
        tops, bottoms, ends = (np.ascontiguousarray(values, dtype=np.float64) for values in (high, low, close))
        floor = self.floor_ticks * self.tick_size
        _half_spreads(tops, bottoms, ends, follows, decay, self.scale, floor, self.state, out)
        return out


def half_spread_of_bars(
    bars: BarArrays,
    instrument: Instrument,
    interval_ms: int = 60_000,
    *,
    scale: float = 1.0,
    floor_ticks: float = 0.5,
) -> np.ndarray:
    """`TradingCosts.half_spread` by `SpreadModel`: float64 (T,), row t being what was known at the close of bar t-1.

    Row 0, before which nothing is known, is NaN: the config's constant holds there. Raises InputError as `SpreadModel`.
    """
    model = SpreadModel(instrument.tick_size, interval_ms, scale, floor_ticks)
    known = model.update(bars.open_time_ms, bars.high, bars.low, bars.close)
    return np.concatenate([[np.nan], known[:-1]])


def half_spreads(market: Market, config: MarketConfig) -> np.ndarray:
    """What market orders pay in each bar, float64 (T,) as a fraction: the market's own, else the config's constant."""
    known = market.prices[:, HALF_SPREAD]
    return np.where(np.isnan(known), config.half_spread_bps * 1e-4, known)
