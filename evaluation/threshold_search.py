"""The best simple rule: a threshold on one column, chosen on days before the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from envs import lanes
from envs.actions import ORDER_WIDTH, ActionDecoder, encode_sides
from envs.backtest import Backtest, BacktestResult
from envs.compiled import kernel
from envs.config import MarketConfig
from envs.kernel import step_lanes
from envs.market import Market
from envs.observation import observation_columns
from envs.rules import ThresholdRule
from evaluation.formats import percent, plain
from evaluation.many_accounts import final_equity, open_accounts

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

QUANTILES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Thresholds tried, as quantiles of the distance from the centre."""
EXIT_SHARES = (0.0, 0.5)
"""Exits tried, as shares of the threshold."""


@dataclass(frozen=True)
class Candidate:
    """The numbers of one `ThresholdRule`."""

    column: str
    center: float
    enter: float
    exit: float

    def rule(self, market: Market, config: MarketConfig) -> ThresholdRule:
        """The rule, for observations of `market`."""
        columns = observation_columns(market)
        return ThresholdRule(self.column, self.enter, self.exit, columns=columns, config=config, center=self.center)


@dataclass(frozen=True, eq=False)
class ThresholdBaseline:
    """The threshold rule that earned most on the days of selection, and what it did on the test."""

    chosen: Candidate
    selection_return: float
    """Total net return where it was chosen."""
    candidates: int
    result: BacktestResult
    """On the test span."""

    def describe(self) -> str:
        """What the rule is and how it was found."""
        rule = f"{self.chosen.column} beyond {plain(self.chosen.center, 3)} ± {plain(self.chosen.enter, 3)}"
        return f"{rule}, best of {self.candidates} before the test ({percent(self.selection_return)} there)"


def best_threshold_rule(
    selection: Market, test: Market, config: MarketConfig, columns: Sequence[str], *, capital: float
) -> ThresholdBaseline:
    """The `ThresholdRule` on one of `columns` with the best net return on `selection`, run on `test`.

    For each column the centre is its median over the tradable rows of `selection`, the thresholds are quantiles of the
    distance from it, the exits zero or half of the threshold. Nothing is taken from `test`.
    Raises InputError for an unknown column and when `selection` has no tradable row.
    """
    found = candidates(selection, columns)
    returns = candidate_returns(found, selection, config, capital)
    best = int(np.argmax(returns))
    outcome = Backtest(test, config, (capital,)).run(found[best].rule(test, config))
    return ThresholdBaseline(found[best], float(returns[best]), len(found), outcome)


def candidates(selection: Market, columns: Sequence[str]) -> list[Candidate]:
    """Every rule to try, with its numbers taken from `selection`."""
    if not selection.tradable.any():
        raise InputError("no row can be traded", where=f"selection span of {selection.symbol}", remedy="give more bars")
    found = []
    for column in columns:
        if column not in selection.columns:
            known = " ".join(selection.columns)
            raise InputError(f"unknown column {column!r}", where="threshold rule", remedy=f"known: {known}")
        values = selection.observations[selection.tradable, selection.columns.index(column)].astype(np.float64)
        center = float(np.median(values))
        enters = np.unique(np.quantile(np.abs(values - center), QUANTILES))
        found += [
            Candidate(column, center, float(enter), float(enter * part)) for enter in enters for part in EXIT_SHARES
        ]
    return found


def candidate_returns(tried: Sequence[Candidate], market: Market, config: MarketConfig, capital: float) -> Floats:
    """Total net return of each candidate's rule on `market`, float64 (L,); one pass of compiled code for all."""
    batch, unwatched = open_accounts(market, config, capital, len(tried))
    sides = np.empty((3, ORDER_WIDTH))  # order rows of flat, long, short
    decoder = ActionDecoder(config)
    decoder.decode(decoder.as_batch(encode_sides(np.array([0.0, 1.0, -1.0]), config), 3), sides)
    state = batch.state
    _follow_thresholds(
        state.account,
        state.clock,
        market.prices,
        market.calendar,
        market.finer,
        market.observations,
        batch.terms,
        unwatched,
        state.trades,
        np.array([market.columns.index(candidate.column) for candidate in tried]),
        np.array([(candidate.center, candidate.enter, candidate.exit) for candidate in tried]),
        sides,
        np.zeros((len(tried), ORDER_WIDTH)),
    )
    return final_equity(batch) / capital - 1.0


@kernel
def _follow_thresholds(
    account: Floats,
    clock: Longs,
    prices: Floats,
    calendar: Floats,
    finer: Floats,
    features: NDArray[np.float32],
    terms: Floats,
    unwatched: NDArray[np.float32],
    trades: Floats,
    columns: Longs,
    numbers: Floats,
    sides: Floats,
    orders: Floats,
) -> None:
    """`ThresholdRule.act` for L accounts, each with its own column (L,) and numbers (L, 3) centre, enter, exit."""
    for row in range(prices.shape[0] - 1):
        for i in range(columns.shape[0]):
            signal = np.float64(features[row, columns[i]]) - numbers[i, 0]
            quantity = account[lanes.QTY, i]
            held = 1.0 if quantity > 0.0 else -1.0 if quantity < 0.0 else 0.0
            side = held if held * signal > numbers[i, 2] else 0.0
            if signal > numbers[i, 1]:
                side = 1.0
            elif signal < -numbers[i, 1]:
                side = -1.0
            choice = 1 if side > 0.0 else 2 if side < 0.0 else 0
            for column in range(sides.shape[1]):
                orders[i, column] = sides[choice, column]
        step_lanes(account, clock, trades, prices, calendar, finer, features, terms, orders, unwatched)
