"""What a recording of trades and books says about the costs that bars can only guess: half-spread and impact."""

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import InputError
from envs.book.columns import ASKS, KNOWN, PRICE, SIZE, TAKER
from envs.book.market import BookMarket
from envs.columns import CLOSE, HALF_SPREAD, OPEN, VOLUME
from envs.costs import ImpactModel
from envs.spread import SpreadModel

SWEPT = np.geomspace(0.01, 1.0, 9)
"""Shares of a side's visible size that the books are swept for."""
WARM_UP_STEPS = 60
"""Steps before volatility and volume are taken to be known."""


@dataclass(frozen=True, slots=True)
class CostCalibration:
    """Costs measured on a recording, for `MarketConfig` (half_spread_bps, impact) and `SpreadModel`."""

    steps: int
    half_spread_bps: float
    """Mean quoted half-spread over the steps."""
    half_spread_ticks: float
    """The same in ticks: `SpreadModel.floor_ticks`."""
    spread_scale: float
    """Least-squares factor from the estimate on the recording's own trades to the quotes: `SpreadModel.scale`. 1 where
    the estimate is 0 throughout, which tells nothing."""
    impact_of_flow: float
    """Y at which the net taker volume of `window_steps` steps moves the mid by Y σ √(|Q| / V): `MarketConfig.impact`
    for orders that the market gets to know of."""
    flow_share_explained: float
    """R² of that fit."""
    impact_of_sweeps: float
    """Y that a market order pays beyond the half-spread for the levels which it takes at once: the least that impact
    can be."""


def calibrate_costs(market: BookMarket, *, window_steps: int = 10) -> CostCalibration:
    """Measure half-spread and square-root impact on the recorded steps of `market`.

    σ / √V is `ImpactModel`'s, as in trading by bars, so Y means the same. Both impacts are least squares through zero
    over what was known before: signed volume of windows against the mid's log return over them, and the depth of the
    book at each step's end against √Q for nine sizes a side. Raises InputError for a recording of less than
    `WARM_UP_STEPS` + 10 windows, or one without trades.
    """
    prices = market.prices
    if len(market) < WARM_UP_STEPS + 10 * window_steps:
        raise InputError(
            f"{len(market)} steps are too few", where=f"calibration, {market.symbol}", remedy="record longer"
        )
    coefficients = ImpactModel(market.interval_ms).update(market.open_time_ms, prices[:, CLOSE], prices[:, VOLUME])
    if not coefficients[WARM_UP_STEPS:].any():
        raise InputError("there are no trades", where=f"calibration, {market.symbol}", remedy="record them too")
    quoted = prices[:, HALF_SPREAD]
    flow, explained = _flow_impact(market, coefficients, window_steps)
    return CostCalibration(
        steps=len(market),
        half_spread_bps=1e4 * float(quoted.mean()),
        half_spread_ticks=float((quoted * prices[:, CLOSE]).mean()) / market.instrument.tick_size,
        spread_scale=_spread_scale(market, quoted),
        impact_of_flow=flow,
        flow_share_explained=explained,
        impact_of_sweeps=_sweep_impact(market, coefficients),
    )


def _through_zero(x: np.ndarray, y: np.ndarray) -> float:
    """Slope of the least-squares line through zero."""
    return float((x * y).sum() / (x * x).sum())


def _trades_of(market: BookMarket) -> tuple[np.ndarray, np.ndarray]:
    """Trades that fall into steps: event rows (N, 4), and the row of each one's step int64 (N,)."""
    trades = market.events[:, TAKER] != 0.0
    times = market.event_time_ns[trades] // 1_000_000
    rows = np.searchsorted(market.open_time_ms, times, side="right") - 1
    inside = (rows >= 0) & (times < market.open_time_ms[rows] + market.interval_ms)
    return market.events[trades][inside], rows[inside]


def _spread_scale(market: BookMarket, quoted: np.ndarray) -> float:
    """How the estimate from bars of the recorded trades relates to the quotes of the same steps."""
    trades, rows = _trades_of(market)
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    price = trades[:, PRICE]
    bars = (
        np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first),
        price[np.append(first[1:], len(price)) - 1],
    )
    model = SpreadModel(market.instrument.tick_size, market.interval_ms, floor_ticks=0.0)
    steps = rows[first]
    estimated = model.update(market.open_time_ms[steps], *bars)
    known = estimated > 0.0
    return _through_zero(estimated[known], quoted[steps][known]) if known.any() else 1.0


def _flow_impact(market: BookMarket, coefficients: np.ndarray, window: int) -> tuple[float, float]:
    """Y and R² of returns on the root of net taker volume, over windows end to end without a gap inside."""
    trades, rows = _trades_of(market)
    net = np.bincount(rows, weights=trades[:, TAKER] * trades[:, SIZE], minlength=len(market))
    starts = np.arange(WARM_UP_STEPS, len(market) - window + 1, window)
    starts = starts[starts + window <= market.segment_stop[starts]]
    volume = np.add.reduceat(net, np.stack([starts, starts + window], axis=1).ravel()[:-1])[::2]
    x = coefficients[starts - 1] * np.sign(volume) * np.sqrt(np.abs(volume))
    y = np.log(market.prices[starts + window - 1, CLOSE] / market.prices[starts, OPEN])
    slope = _through_zero(x, y)
    return slope, 1.0 - float(((y - slope * x) ** 2).sum() / (y * y).sum())


def _sweep_impact(market: BookMarket, coefficients: np.ndarray) -> float:
    """Y of the average price, beyond the best one, of taking `SWEPT` of either side of each step's last known book."""
    known = market.books[market.schedule[WARM_UP_STEPS:, KNOWN]]
    x, y = [], []
    for book, coefficient in zip(known, coefficients[WARM_UP_STEPS:], strict=True):
        middle = 0.5 * (book[0] + book[ASKS])
        for side in (book[:ASKS], book[ASKS:]):
            price, size = side[::2], side[1::2]
            taken = np.concatenate([[0.0], np.cumsum(size)])
            paid = np.concatenate([[0.0], np.cumsum(size * np.abs(price - price[0]))])
            wanted = SWEPT * taken[-1]
            y.append(np.interp(wanted, taken, paid) / wanted / middle)
            x.append(coefficient * np.sqrt(wanted))
    return _through_zero(np.concatenate(x), np.concatenate(y))
