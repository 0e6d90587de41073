"""What a policy sees: features and predictions side by side, scaled by training rows only, in a `Market`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from envs.config import MarketConfig
from envs.costs import TradingCosts
from envs.fills import order_quantity
from envs.market import Market
from envs.spread import half_spread_of_bars
from envs.terms import TAKER_FEE, trading_terms
from evaluation.config import SpreadKind
from evaluation.dataset import INTERVAL_MS, SymbolRows
from features.scaling import Scaler
from supervised.observation import observation_rows
from supervised.predictions import Predictions

SCALER = "scaler.json"


def build_market(
    symbol: SymbolRows,
    predictions: Predictions,
    folder: Path,
    *,
    further: bool = False,
    spread: SpreadKind = "constant",
) -> Market:
    """The market of one symbol over all its rows, saved under `folder`/SYMBOL with the scaler of its observations.

    `further` shows the policy what the models say beside P(up): moves, outcomes and uncertainties. `spread`: the
    half-spread is the market config's constant, or that of `SpreadModel` on the bars. The scaler is fitted on the
    training rows that have predictions. Raises InputError when there are none.
    """
    rows = observation_rows(symbol.features, predictions.values, predictions.further if further else None)
    complete = np.isfinite(rows).all(axis=1) & (np.arange(len(rows)) < symbol.split.train)
    if not complete.any():
        raise InputError(
            f"none of the {symbol.split.train} training bars has features and predictions",
            where=symbol.symbol,
            remedy="give more bars, or a larger --train-fraction",
        )
    scaler = Scaler.fit(rows, np.asarray(complete))
    columns = (*symbol.feature_names, *predictions.columns, *(predictions.further_columns if further else ()))
    modelled = half_spread_of_bars(symbol.bars, symbol.instrument, INTERVAL_MS) if spread == "bars" else None
    costs = TradingCosts(half_spread=modelled)
    market = Market.build(symbol.bars, scaler.transform(rows), columns, symbol.instrument, INTERVAL_MS, costs=costs)
    target = market.save(folder / symbol.slug)
    write_json(target / SCALER, scaler.to_dict())
    return Market.load(target)


def check_capital(symbol: SymbolRows, config: MarketConfig) -> None:
    """Raise InputError when the initial capital cannot buy the smallest order at the median price of the test days."""
    price = float(np.median(symbol.bars.close[symbol.split.validation :]))
    capital = config.capital_range[0]
    terms = trading_terms(symbol.instrument, config)
    if order_quantity(capital, 1.0, price, terms[TAKER_FEE], np.inf, terms) == 0.0:
        rules = symbol.instrument
        smallest = max(rules.min_notional, rules.lot_step * price)
        raise InputError(
            f"initial capital {capital:g} buys no order: the smallest is worth {smallest:g} at a price of {price:g}",
            where=symbol.symbol,
            remedy="raise --initial-capital, or take another --contract or symbol",
        )
