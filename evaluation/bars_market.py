"""Markets straight from bars, without a run before them: core features, scaled by the rows that come first; and the
split of markets by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import default_instrument
from data_pipeline.schema import BarArrays
from envs.costs import TradingCosts
from envs.market import Market
from envs.spread import half_spread_of_bars
from evaluation.dataset import FEATURES
from features.batch import available_features, compute_features
from features.config import BarParameters
from features.scaling import Scaler


def market_of_bars(
    bars: BarArrays,
    symbol: str,
    interval_ms: int,
    fit_rows: slice,
    *,
    contract: Literal["spot", "linear"] = "linear",
    spread_of_bars: bool = False,
) -> Market:
    """The bars with the core features that they can give, scaled by the moments of `fit_rows` alone.

    spread_of_bars: the half-spread is what the bars themselves tell (`envs.spread`), not the market config's constant.
    """
    names = available_features(bars, FEATURES)
    rows = compute_features(bars, names, BarParameters(interval_ms=interval_ms))
    scaler = Scaler.fit(rows, fit_rows)
    instrument = default_instrument(symbol, contract, bars.close)
    costs = TradingCosts(half_spread_of_bars(bars, instrument, interval_ms) if spread_of_bars else None)
    return Market.build(bars, scaler.transform(rows), names, instrument, interval_ms, costs=costs)


def split_markets(
    markets: Sequence[Market], train_fraction: float, validation_fraction: float
) -> tuple[list[Market], list[Market]]:
    """Training days and, right after them, validation days; what follows is the test and is not returned.

    Every market is cut at the same two moments, shares of the time from the first bar of any to the last of any.
    Raises InputError for shares that leave nothing for the test, and for a market with less than two bars in a part.
    """
    if not (train_fraction > 0.0 and validation_fraction > 0.0 and train_fraction + validation_fraction < 1.0):
        raise InputError(
            f"fractions {train_fraction:g} for training and {validation_fraction:g} for validation cannot be used",
            remedy="give shares above 0 that leave some days for the test",
        )
    first = min(int(market.open_time_ms[0]) for market in markets)
    last = max(int(market.open_time_ms[-1]) + market.interval_ms for market in markets)
    cuts = [first + share * (last - first) for share in (train_fraction, train_fraction + validation_fraction)]
    parts = []
    for market in markets:
        learn, choose = (int(row) for row in np.searchsorted(market.open_time_ms, cuts))
        parts.append((market.slice(0, learn), market.slice(learn, choose)))
    return [train for train, _ in parts], [validation for _, validation in parts]
