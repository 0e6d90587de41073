"""One account's story in numbers: what it earned and lost, how sure that is, what it paid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from envs.backtest import BacktestResult
from envs.performance import Drawdown, bar_returns, daily_returns, max_drawdown, profit_factor
from envs.sharpe import DAYS_PER_YEAR, MS_PER_YEAR, SharpeEstimate, sharpe_estimate
from envs.trades import trade_bps
from evaluation.intervals import (
    RETURN_STATISTICS,
    UNKNOWN,
    Interval,
    bootstrap_intervals,
    mean_return,
    wilson,
)
from evaluation.sharpe import minimum_track_record, probabilistic_sharpe

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Account:
    """An equity curve and the trades behind it: one lane of a backtest, or several added up."""

    name: str
    open_time_ms: Longs
    """int64 (T,)"""
    equity: Floats
    """float64 (T,), quote units, marked at each bar's close"""
    in_market: Floats
    """float64 (T,): share of the accounts that held a position at each close, 0 or 1 for a single account"""
    initial_capital: float
    trades: pa.Table
    """Columns as in `BacktestResult.trades`"""

    @cached_property
    def net_return(self) -> float:
        """Final equity / initial capital - 1."""
        return float(self.equity[-1]) / self.initial_capital - 1.0 if self.equity.size else 0.0

    @cached_property
    def daily(self) -> tuple[Longs, Floats]:
        """Days and their net returns (see `daily_returns`)."""
        return daily_returns(self.open_time_ms, self.equity, self.initial_capital)

    def trade_column(self, name: str) -> Floats:
        """A numeric column of the trades, float64 (N,)."""
        return self.trades.column(name).to_numpy().astype(np.float64)

    @cached_property
    def trade_bps(self) -> Floats:
        """Net profit of each trade in basis points of what was bought or sold, float64 (N,)."""
        return trade_bps(self.trades)


def account_of(result: BacktestResult, name: str, lane: int = 0) -> Account:
    """One lane of a backtest as an account."""
    trades = result.trades.filter(pc.equal(result.trades.column("lane"), lane))
    held = (result.position[:, lane] != 0.0).astype(np.float64)
    return Account(
        name,
        result.open_time_ms,
        np.ascontiguousarray(result.equity[:, lane]),
        held,
        float(result.initial_capital[lane]),
        trades,
    )


def combine(accounts: Sequence[Account], name: str) -> Account:
    """Several accounts side by side as one: equity adds up, each starting with its own capital.

    Times are the union of all; an account waits with its last equity where it has no bar.
    """
    if len(accounts) == 1:
        return accounts[0]
    times = np.unique(np.concatenate([a.open_time_ms for a in accounts]))
    return Account(
        name,
        times,
        np.sum([carried(a.open_time_ms, a.equity, a.initial_capital, times) for a in accounts], axis=0),
        np.mean([carried(a.open_time_ms, a.in_market, 0.0, times) for a in accounts], axis=0),
        sum(a.initial_capital for a in accounts),
        pa.concat_tables([a.trades for a in accounts]).sort_by("exit_time_ms"),
    )


def carried(own_times: Longs, values: Floats, before: float, times: Longs) -> Floats:
    """`values` (T, ...) at `times` (S,): the last one known then, `before` where there is none yet."""
    row = np.searchsorted(own_times, times, side="right") - 1
    known = (row >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(known, values[np.maximum(row, 0)], before)


@dataclass(frozen=True, slots=True)
class Costs:
    """Where the money went, settlement currency; net is what is left of gross after all the others."""

    gross: float
    fees: float
    spread: float
    impact: float
    """Market impact and latency."""
    funding: float

    @property
    def paid(self) -> float:
        """Everything but gross."""
        return self.fees + self.spread + self.impact + self.funding

    @property
    def net(self) -> float:
        """What was left."""
        return self.gross - self.paid


@dataclass(frozen=True)
class AccountSummary:
    """An account's numbers, net of all costs unless said otherwise."""

    name: str
    start_ms: int
    end_ms: int
    """Open of the last bar."""
    bars: int
    initial_capital: float
    net_return: Interval
    """Total over the span; bootstrap over days."""
    mean_daily: Interval
    """Mean daily return; bootstrap over days."""
    sharpe: SharpeEstimate
    """From daily returns."""
    sharpe_bootstrap: Interval
    """Annual, bootstrap over days."""
    sharpe_bars: SharpeEstimate
    """From the returns of single bars."""
    probabilistic_sharpe: float
    minimum_track_days: float
    drawdown: Drawdown
    trades: int
    trades_per_day: float
    win_rate: Interval
    """Wilson."""
    trade_bps: Interval
    """Mean net profit of a trade in bps of its notional; bootstrap over trades."""
    profit_factor: Interval
    """Bootstrap over trades."""
    mean_bars_held: float
    exposure: float
    """Share of the bars spent with a position."""
    costs: Costs

    @property
    def paid(self) -> float:
        """All costs as a share of the initial capital."""
        return self.costs.paid / self.initial_capital

    @property
    def days(self) -> int:
        """UTC days with bars."""
        return self.mean_daily.n


def summarise_account(account: Account, interval_ms: int, *, seed: int = 0, resamples: int = 2000) -> AccountSummary:
    """Compute an account's numbers; `interval_ms` is the length of its bars, `seed` that of the bootstraps.

    Trades are many and their intervals narrow, so they are resampled half as often as days.
    """
    _, daily = account.daily
    boot = bootstrap_intervals(daily, RETURN_STATISTICS, seed=seed, resamples=resamples)
    estimate = sharpe_estimate(daily)
    net, bps = account.trade_column("net_pnl"), account.trade_bps
    if net.size:
        statistics = {"mean": mean_return, "factor": _finite_profit_factor}
        of_trades = bootstrap_intervals(bps, statistics, seed=seed, resamples=resamples // 2)
        factor = Interval(profit_factor(bps), of_trades["factor"].low, of_trades["factor"].high, int(net.size))
        mean_bps = of_trades["mean"]
    else:
        factor = mean_bps = UNKNOWN
    return AccountSummary(
        name=account.name,
        start_ms=int(account.open_time_ms[0]),
        end_ms=int(account.open_time_ms[-1]),
        bars=int(account.open_time_ms.size),
        initial_capital=account.initial_capital,
        net_return=boot["total"],
        mean_daily=boot["mean"],
        sharpe=estimate,
        sharpe_bootstrap=boot["sharpe"].scaled(math.sqrt(DAYS_PER_YEAR)),
        sharpe_bars=sharpe_estimate(bar_returns(account.equity, account.initial_capital), MS_PER_YEAR / interval_ms),
        probabilistic_sharpe=probabilistic_sharpe(estimate.per_period, estimate.n, estimate.skew, estimate.kurtosis),
        minimum_track_days=minimum_track_record(estimate.per_period, estimate.skew, estimate.kurtosis),
        drawdown=max_drawdown(account.equity, account.initial_capital),
        trades=int(net.size),
        trades_per_day=net.size / max(daily.size, 1),
        win_rate=wilson(int((net > 0).sum()), int(net.size)),
        trade_bps=mean_bps,
        profit_factor=factor,
        mean_bars_held=float(account.trade_column("bars_held").mean()) if net.size else math.nan,
        exposure=float(account.in_market.mean()),
        costs=Costs(
            *(
                float(account.trade_column(name).sum())
                for name in ("gross_pnl", "fees", "spread_cost", "impact_cost", "funding")
            )
        ),
    )


def _finite_profit_factor(bps: Floats) -> float:
    """Profit factor, NaN when a resample holds no loss, so that percentiles stay finite."""
    factor = profit_factor(bps)
    return factor if math.isfinite(factor) else math.nan
