"""A SYNTHETIC market for training tests: what a good model's prediction would be, and a few plain columns beside it."""

from __future__ import annotations

import itertools

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.synthetic import synthetic_market
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market

DAY = 1440
COLUMNS = ("signal", "last_return", "log_volatility", "log_volume")
ENTER = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
EXIT = (-0.4, -0.2, 0.0, 0.2, 0.4)


def signal_market(days: int, seed: int, setting: str = "planted_edge") -> Market:
    """Observations known at each close: the filtered hidden state, the bar's return, volatility over 30 bars, volume.

    Where nothing is planted, the filter reads a state that moves no price: a signal with the same look and no meaning.
    """
    config = SyntheticConfig(setting=setting, bars=days * DAY, seed=seed)  # type: ignore[arg-type]
    market = synthetic_market(config)
    bars = market.arrays()
    returns = np.diff(np.log(bars.close), prepend=np.nan)
    volatility = np.full(len(returns), np.nan)
    volatility[30:] = np.sqrt(np.convolve(returns[1:] ** 2, np.ones(30) / 30, mode="valid"))
    columns = [
        market.filtered_state(),
        returns / volatility,
        np.log(volatility / 5e-4) / 0.5,
        np.log(bars.volume / 20.0),
    ]
    rows = np.clip(np.column_stack(columns), -5.0, 5.0)
    return Market.build(bars, rows, COLUMNS, default_instrument(config.symbol))


def best_rule_profit(market: Market, config: MarketConfig) -> float:
    """Largest net log return on these very days of any threshold rule on the signal, with any bracket that a policy
    could choose: what hindsight can make of thresholds, hysteresis and brackets."""
    enter, leave = np.array(list(itertools.product(ENTER, EXIT))).T
    signal = market.observations[:, market.columns.index("signal")].astype(np.float64)
    orders = np.full((len(market), len(enter), 5), np.inf)
    side = np.zeros(len(enter))
    for row, x in enumerate(signal):
        side = np.where(x > enter, 1.0, np.where(x < -enter, -1.0, np.where(side * x > leave, side, 0.0)))
        orders[row, :, 0] = side
    orders[..., 3] = config.ttl_bars
    brackets = [(config.default_tp_bps, config.default_sl_bps)]
    if config.action_mode != "discrete":
        brackets = list(itertools.product(config.tp_grid_bps, config.sl_grid_bps))
    best = 0.0
    for orders[..., 1], orders[..., 2] in brackets:
        result = Backtest(market, config, capitals=[10_000.0] * len(enter)).replay(orders)
        best = max(best, float(np.log(result.equity[-1] / result.initial_capital).max()))
    return best
