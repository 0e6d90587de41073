"""What an edge is worth by the size of the account: lots and smallest orders bite at one end, impact and volume at the
other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.policy import Policy
from evaluation.ambiguity import Ambiguity, ambiguity_of, other_bound
from evaluation.intervals import Interval, bootstrap_intervals, mean_return

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CapitalPoint:
    """One account size. Edges and costs are means over trades, in bps of each trade's value; NaN without trades."""

    capital: float
    """Quote units at the start."""
    trades: int
    refused: int
    """Entries refused: too small for a lot or the smallest order."""
    partial: int
    """Fills cut short by the share of a bar's volume."""
    net_bps: Interval
    """After every cost, with the ends of its 95 % interval (stationary bootstrap over trades in time order)."""
    gross_bps: float
    fees_bps: float
    spread_bps: float
    impact_bps: float
    """Impact and latency."""
    deployed: float
    """Mean of a trade's value over what the account could have bought with its equity, leverage included."""
    net_return: float
    """Final equity over the capital, less 1."""
    ambiguous: float
    """Share of exits in bars that touched both barriers, where nothing finer told which came first; NaN without any."""
    other_return: float
    """Net return when such bars count for the other barrier than the config says: the other bound of the truth."""
    ruined: bool


def capital_curve(
    market: Market, config: MarketConfig, policy: Policy, capitals: Sequence[float], *, seed: int = 0
) -> tuple[CapitalPoint, ...]:
    """`policy` over all bars of `market`, once, with an account (a lane of one batch) for each of `capitals`.

    A policy without memory of its own sees every account's own observation, so it may act by its size. Trades of one
    account compound: its size is its own from the second trade on. Linear and spot contracts only. Raises InputError
    for capitals that are not positive.
    """
    result = Backtest(market, config, capitals).run(policy)
    other = other_bound(market, config, policy, result)
    return tuple(
        _point(result, lane, config.leverage, ambiguity_of([(result, other)], lane), seed)
        for lane in range(len(capitals))
    )


def _point(result: BacktestResult, lane: int, leverage: float, unclear: Ambiguity, seed: int) -> CapitalPoint:
    trades = result.trades.filter(pc.equal(result.trades.column("lane"), lane))

    def column(name: str) -> Floats:
        return trades.column(name).to_numpy().astype(np.float64)

    capital, costs = float(result.initial_capital[lane]), result.costs
    value = column("qty") * column("entry_price")

    def mean_bps(name: str) -> float:
        return float(np.mean(1e4 * column(name) / value)) if value.size else math.nan

    with np.errstate(divide="ignore", invalid="ignore"):  # block lengths of a dull series
        net = bootstrap_intervals(1e4 * column("net_pnl") / value, {"mean": _mean}, resamples=500, seed=seed)["mean"]
    # An entry was sized by the equity of the close before it.
    before = np.maximum(np.searchsorted(result.open_time_ms, column("entry_time_ms")) - 1, 0)
    share = value / (leverage * result.equity[before, lane])
    return CapitalPoint(
        capital=capital,
        trades=int(costs.trades[lane]),
        refused=int(costs.refused[lane]),
        partial=int(costs.partial[lane]),
        net_bps=net,
        gross_bps=mean_bps("gross_pnl"),
        fees_bps=mean_bps("fees"),
        spread_bps=mean_bps("spread_cost"),
        impact_bps=mean_bps("impact_cost"),
        deployed=float(share.mean()) if share.size else math.nan,
        net_return=unclear.net_return,
        ambiguous=unclear.share,
        other_return=unclear.other_return,
        ruined=bool(result.ruined[lane]),
    )


def _mean(values: Floats) -> float:
    return mean_return(values) if values.size else math.nan
