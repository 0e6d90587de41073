"""What a policy's result stands beside: doing nothing, holding, entering at random, a simple rule, and knowing the
future.

All of them trade the same span on the same terms as the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from envs.actions import ORDER_WIDTH, ActionDecoder, encode_sides
from envs.backtest import Backtest, BacktestResult
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy
from envs.rules import ThresholdRule
from evaluation.foresight import Foresight, perfect_foresight
from evaluation.formats import percent
from evaluation.random_entries import RandomEntries, random_entries

Floats = NDArray[np.float64]

THRESHOLD_QUANTILES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
EXIT_SHARES = (0.0, 0.5)
"""Exits tried, as shares of the threshold of entry."""


@dataclass(frozen=True, eq=False)
class ThresholdBaseline:
    """The threshold rule that earned most on the days of selection, and what it did on the test."""

    column: str
    enter: float
    exit: float
    center: float
    selection_return: float
    """Total net return where it was chosen."""
    candidates: int
    result: BacktestResult
    """On the test span."""

    def describe(self) -> str:
        """What the rule is and how it was found."""
        return (
            f"{self.column} beyond {self.center:.4g} ± {self.enter:.3g}, best of {self.candidates} "
            f"before the test ({percent(self.selection_return)} there)"
        )


@dataclass(frozen=True, eq=False)
class Baselines:
    """Backtests (one lane each) on the policy's test span and terms."""

    flat: BacktestResult
    buy_and_hold: BacktestResult
    random: RandomEntries
    threshold: ThresholdBaseline | None
    foresight: Foresight
    foresight_result: BacktestResult
    """The foreseen trades carried out by the market itself, with lots rounded."""


def recorded_backtest(
    market: Market, config: MarketConfig, policy: Policy, capital: float | None = None
) -> tuple[BacktestResult, Floats]:
    """Backtest `policy` in one lane; also returns the order rows it gave, float64 (T, 4)."""
    recorder = _Recorder(policy, config, len(market))
    result = Backtest(market, config, None if capital is None else (capital,)).run(recorder)
    return result, recorder.orders


class _Recorder:
    """Passes a policy's actions on and keeps what they mean as orders."""

    def __init__(self, policy: Policy, config: MarketConfig, rows: int) -> None:
        self.orders = np.full((rows, ORDER_WIDTH), np.inf)
        self.orders[:, 0] = 0.0
        self._policy, self._decoder, self._row = policy, ActionDecoder(config), 0

    def act(self, observations: NDArray[np.float32]) -> np.ndarray:
        actions = self._policy.act(observations)
        self._decoder.decode(self._decoder.as_batch(actions, 1), self.orders[self._row : self._row + 1])
        self._row += 1
        return actions


def run_baselines(
    test: Market,
    config: MarketConfig,
    result: BacktestResult,
    orders: Floats,
    *,
    selection: Market | None = None,
    columns: Sequence[str] = (),
    random_accounts: int = 300,
    seed: int = 0,
) -> Baselines:
    """Every baseline for the policy whose `recorded_backtest` on `test` gave `result` and `orders`.

    `selection` is an earlier span, of training or validation, on which the threshold rule is chosen among `columns`
    of the observation; without one (or without columns) there is no such rule.
    """
    capitals = (float(result.initial_capital[0]),)
    market = Backtest(test, config, capitals)
    foresight = perfect_foresight(test, config)
    threshold = None
    if selection is not None and columns:
        threshold = best_threshold_rule(selection, test, config, columns, capital=capitals[0])
    return Baselines(
        flat=market.replay(_always(0.0, len(test))),
        buy_and_hold=market.replay(_always(1.0, len(test))),
        random=random_entries(test, config, result, orders, accounts=random_accounts, seed=seed),
        threshold=threshold,
        foresight=foresight,
        foresight_result=market.replay(foresight.orders(len(test))),
    )


def _always(side: float, rows: int) -> Floats:
    """Order rows that want one side throughout, without barriers: float64 (rows, 1, 4)."""
    orders = np.full((rows, 1, ORDER_WIDTH), np.inf)
    orders[:, 0, 0] = side
    return orders


def best_threshold_rule(
    selection: Market, test: Market, config: MarketConfig, columns: Sequence[str], *, capital: float
) -> ThresholdBaseline:
    """The `ThresholdRule` on one of `columns` with the best net return on `selection`, run on `test`.

    For each column the centre is its median over the tradable rows of `selection`, the thresholds are quantiles of the
    distance from it, the exits zero or half of the threshold. Nothing is taken from `test`.
    Raises InputError for an unknown column and when `selection` has no tradable row.
    """
    candidates = _candidates(selection, columns)
    wanted = [selection.columns.index(column) for column in columns]
    selection = replace(selection, observations=selection.observations[:, wanted], columns=tuple(columns))
    grid = _ThresholdLanes(candidates, selection, config)
    chosen = Backtest(selection, config, (capital,) * len(candidates)).run(grid)
    returns = chosen.equity[-1] / capital - 1.0
    best = int(np.argmax(returns))
    column, center, enter, exit_ = candidates[best]
    rule = ThresholdRule(column, enter, exit_, columns=observation_columns(test), config=config, center=center)
    outcome = Backtest(test, config, (capital,)).run(rule)
    return ThresholdBaseline(column, enter, exit_, center, float(returns[best]), len(candidates), outcome)


def _candidates(selection: Market, columns: Sequence[str]) -> list[tuple[str, float, float, float]]:
    """(column, center, enter, exit) of every rule tried."""
    if not selection.tradable.any():
        raise InputError("no row can be traded", where=f"selection span of {selection.symbol}", remedy="give more bars")
    found = []
    for column in columns:
        if column not in selection.columns:
            known = " ".join(selection.columns)
            raise InputError(f"unknown column {column!r}", where="threshold rule", remedy=f"known: {known}")
        values = selection.observations[selection.tradable, selection.columns.index(column)].astype(np.float64)
        center = float(np.median(values))
        enters = np.unique(np.quantile(np.abs(values - center), THRESHOLD_QUANTILES))
        found += [(column, center, float(enter), float(enter * share)) for enter in enters for share in EXIT_SHARES]
    return found


class _ThresholdLanes:
    """`ThresholdRule` with other numbers in every lane, so that all candidates run in one pass over the market."""

    def __init__(
        self, candidates: Sequence[tuple[str, float, float, float]], market: Market, config: MarketConfig
    ) -> None:
        names, centers, enters, exits = zip(*candidates, strict=True)
        columns = observation_columns(market)
        self._signal = np.array([columns.index(name) for name in names])
        self._side = columns.index("account_side")
        self._center, self._enter, self._exit = np.array(centers), np.array(enters), np.array(exits)
        self._lanes = np.arange(len(candidates))
        self._config = config

    def act(self, observations: NDArray[np.float32]) -> np.ndarray:
        signal = observations[self._lanes, self._signal].astype(np.float64) - self._center
        held = observations[:, self._side]
        keep = np.where(held * signal > self._exit, held, 0.0)
        wanted = np.where(signal > self._enter, 1.0, np.where(signal < -self._enter, -1.0, keep))
        return encode_sides(wanted, self._config)
