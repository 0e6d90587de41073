"""A SYNTHETIC market for training tests: what a good model's prediction would be, and a few plain columns beside it."""

from __future__ import annotations

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.synthetic import synthetic_market
from envs.market import Market

DAY = 1440
COLUMNS = ("signal", "last_return", "log_volatility", "log_volume")


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
