"""Bars that touched both barriers: how many exits had to guess which came first, and what the other guess gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envs.backtest import Backtest, BacktestResult
from envs.config import BothTouched, MarketConfig
from envs.market import Market
from envs.policy import Policy


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """What the order of touches inside bars can change of one account, or of several together."""

    exits: int
    ambiguous: int
    """Exits in bars that touched both barriers, where nothing finer told which came first."""
    resolved: int
    """Exits in such bars that finer bars did tell apart."""
    net_return: float
    """Final equity over the capital, less 1, with such bars counted as the config says."""
    other_return: float
    """The same when they count for the other barrier: the other bound of the truth."""

    @property
    def share(self) -> float:
        """Ambiguous exits over all exits; NaN without any."""
        return self.ambiguous / self.exits if self.exits else math.nan


def other_bound(market: Market, config: MarketConfig, policy: Policy, result: BacktestResult) -> BacktestResult:
    """`policy`'s backtest again, with ambiguous bars counted for the other barrier; `result`, which `policy` made on
    the same market and config, when there are none. The policy must not remember the first time."""
    if not result.costs.ambiguous.any():
        return result
    first: BothTouched = "target_first" if config.both_touched == "stop_first" else "stop_first"
    return Backtest(market, replace(config, both_touched=first), result.initial_capital.tolist()).run(policy)


def ambiguity_of(pairs: Sequence[tuple[BacktestResult, BacktestResult]], lane: int = 0) -> Ambiguity:
    """One lane of backtests added up, each beside its `other_bound`."""
    counts = [one.costs for one, _ in pairs]
    capital = sum(float(one.initial_capital[lane]) for one, _ in pairs)
    net, other = (sum(float(pair[which].equity[-1, lane]) for pair in pairs) / capital - 1.0 for which in (0, 1))
    return Ambiguity(
        exits=sum(int(cost.trades[lane]) for cost in counts),
        ambiguous=sum(int(cost.ambiguous[lane]) for cost in counts),
        resolved=sum(int(cost.resolved[lane]) for cost in counts),
        net_return=net,
        other_return=other,
    )
