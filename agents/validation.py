"""What the policy of the moment does on the validation days: a backtest, and the figures that tell of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.performance import daily_returns, drawdown
from envs.policy import Policy
from envs.sharpe import SharpeEstimate, sharpe_estimate
from envs.trades import trade_bps

WIDE = 1.96  # standard errors on either side of an estimate: 95 % of a normal distribution
COSTS = ("fees", "spread_cost", "impact_cost", "funding")


@dataclass(frozen=True, eq=False)
class Validation:
    """The backtests (one account each) of one policy on the validation markets."""

    markets: tuple[Market, ...]
    results: tuple[BacktestResult, ...]

    @property
    def figures(self) -> dict[str, float]:
        """`validation/*`; what cannot be known (a mean of no trades, a Sharpe ratio of one day) is NaN.

        return_log        mean over the markets of ln(final equity / initial capital)
        trades            of all markets
        trades_per_day    mean over the markets
        win_rate          share of trades with a net profit
        average_win_bps, average_loss_bps   mean net profit of the winning and of the other trades, of their notional
        fees, spread_cost, impact_cost, funding   mean over the markets, as shares of the initial capital
        time_in_market    share of the bars with a position
        max_drawdown      of the market where it was deepest
        sharpe            of daily returns (mean over the markets on each day), a year
        sharpe_error      its standard error (Lo 2002), a year; sharpe_low and sharpe_high lie 1.96 of them away
        """
        capitals = [float(result.initial_capital[0]) for result in self.results]
        curves = [result.equity[:, 0] for result in self.results]
        trades = pa.concat_tables([result.trades for result in self.results])
        net = trade_bps(trades)
        days = sum(len(market) * market.interval_ms for market in self.markets) / 86_400_000
        sharpe = self._sharpe()
        figures = {
            "return_log": float(np.mean([np.log(e[-1] / c) for e, c in zip(curves, capitals, strict=True)])),
            "trades": float(len(net)),
            "trades_per_day": len(net) / days,
            "win_rate": _mean(net > 0.0),
            "average_win_bps": _mean(net[net > 0.0]),
            "average_loss_bps": _mean(net[net <= 0.0]),
            "time_in_market": float(np.mean(np.concatenate([result.position != 0.0 for result in self.results]))),
            "max_drawdown": max(float(drawdown(e, c).max()) for e, c in zip(curves, capitals, strict=True)),
            "sharpe": sharpe.annual,
            "sharpe_error": sharpe.annual_standard_error,
            "sharpe_low": sharpe.annual - WIDE * sharpe.annual_standard_error,
            "sharpe_high": sharpe.annual + WIDE * sharpe.annual_standard_error,
        }
        for name in COSTS:
            paid = [getattr(result.costs, name)[0] / c for result, c in zip(self.results, capitals, strict=True)]
            figures[name] = float(np.mean(paid))
        return {f"validation/{name}": value for name, value in figures.items()}

    def _sharpe(self) -> SharpeEstimate:
        told = [daily_returns(r.open_time_ms, r.equity[:, 0], float(r.initial_capital[0])) for r in self.results]
        _, place = np.unique(np.concatenate([days for days, _ in told]), return_inverse=True)
        returns = np.concatenate([returns for _, returns in told])
        return sharpe_estimate(np.bincount(place, returns) / np.bincount(place))


def validate(policy: Policy, markets: Sequence[Market], env_config: MarketConfig) -> Validation:
    """Backtest the greedy policy with one account on each market.

    A range of initial capitals is represented by its geometric mean.
    """
    capital = math.sqrt(math.prod(env_config.capital_range))
    results = [Backtest(market, env_config, capitals=(capital,)).run(policy) for market in markets]
    return Validation(tuple(markets), tuple(results))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
