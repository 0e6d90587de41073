"""What the report is made from, and the numbers derived from it once: page, terminal table and JSON all read
`Summary`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.backtest import BacktestResult
from envs.market import Market
from evaluation.account import Account, AccountSummary, account_of, carried, combine, summarise_account
from evaluation.ambiguity import Ambiguity, ambiguity_of
from evaluation.baselines import Baselines, RandomEntries
from evaluation.intervals import Interval, student_interval
from evaluation.overfitting import Overfitting, probability_of_overfitting
from evaluation.sharpe import deflated_sharpe, expected_maximum_sharpe
from evaluation.signal_quality import EnsembleWeights, FeatureQuality, PredictionQuality
from evaluation.trials import TrialCount
from evaluation.verdict import AccuracyClaim, Evidence, Verdict, VerdictRule, judge

Floats = NDArray[np.float64]

POLICY, FLAT, BUY_AND_HOLD = "Policy", "Flat", "Buy and hold"
THRESHOLD, FORESIGHT = "Best threshold rule", "Perfect foresight"
"""Names of the accounts, as the page and summary.json give them."""


@dataclass(frozen=True, eq=False)
class SymbolData:
    """One symbol's part of the report, on the test span."""

    market: Market
    """The test span, as it was traded."""
    result: BacktestResult
    """The judged policy on it, one lane."""
    other: BacktestResult
    """`other_bound` of `result`: bars that touched both barriers counted for the other one."""
    baselines: Baselines
    """`run_baselines` on the same span and terms."""
    predictions: tuple[PredictionQuality, ...] = ()
    """One for each model (and the ensemble) and horizon."""
    simple: tuple[PredictionQuality, ...] = ()
    """The same of each baseline of the direction: majority, persistence, reversal, logistic regression."""
    weights: tuple[EnsembleWeights, ...] = ()
    """The ensemble's weights over time, one for each horizon."""
    features: FeatureQuality | None = None
    data_quality: Mapping[str, Any] = field(default_factory=dict)
    """`QualityReport.to_dict()` of all bars that the run was given; empty: not shown."""

    @property
    def symbol(self) -> str:
        """Name of the symbol."""
        return self.market.symbol


@dataclass(frozen=True, eq=False)
class SeedData:
    """One trained policy among several that differ in their seed only."""

    seed: int
    chosen: bool
    """Whether this is the policy that is judged."""
    results: tuple[BacktestResult, ...]
    """Its backtests, in the order of `ReportData.symbols`."""


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything a report says. `summary` holds the numbers."""

    title: str
    policy: str
    """What is judged, in a few words: "PPO, discrete actions"."""
    symbols: tuple[SymbolData, ...]
    trials: TrialCount
    """From the project's log, this run included (`TrialLog.count`)."""
    synthetic: str = ""
    """Which synthetic market it was, "planted_edge" or "no_edge"; empty for real bars."""
    seen: str = ""
    """Why the days are no evidence, in words: the policy was trained on them. Empty when it was not."""
    seeds: tuple[SeedData, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Section -> mapping of names to values: configuration, git revision, versions, data hashes, times of the spans."""
    rule: VerdictRule = field(default_factory=VerdictRule)
    seed: int = 0
    """Seed of the bootstraps."""

    @cached_property
    def summary(self) -> Summary:
        """All numbers of the report, computed once."""
        return _summarise(self)


@dataclass(frozen=True)
class RandomSummary:
    """The policy among random entries with the same exits."""

    lanes: int
    median: float
    low: float
    high: float
    """5 %, 95 % of the lanes' total net returns."""
    percentile: float
    """Share of the lanes that earned less than the policy."""
    p_value: float
    """(1 + lanes that earned as much or more) / (1 + lanes)."""
    returns: Floats
    """Total net return of each lane, float64 (K,)."""
    open_time_ms: NDArray[np.int64]
    """int64 (S,)"""
    quantiles: Floats
    """5 %, 50 %, 95 % of equity / initial capital - 1 at these times, float64 (S, 3)."""


@dataclass(frozen=True)
class SectionSummary:
    """The policy on one symbol, or on all of them together, beside its baselines."""

    title: str
    policy: AccountSummary
    baselines: tuple[AccountSummary, ...]
    """Flat, buy-and-hold, the best threshold rule where there is one, perfect foresight."""
    notes: Mapping[str, str]
    """Remarks on baselines, by their name."""
    random: RandomSummary
    accounts: Mapping[str, Account]
    """The accounts behind the summaries, by name."""
    ambiguity: Ambiguity
    """How much of the policy's result hangs on which barrier a bar touched first."""

    def baseline(self, name: str) -> AccountSummary:
        """The baseline called `name`."""
        return next(row for row in self.baselines if row.name == name)


@dataclass(frozen=True)
class SeedRow:
    """One seed in the table of seeds."""

    seed: int
    chosen: bool
    summary: AccountSummary


@dataclass(frozen=True)
class SeedsSummary:
    """What training again with another seed changes."""

    rows: tuple[SeedRow, ...]
    net_return: Interval
    """Mean over the seeds, Student's t."""
    sharpe: Interval
    """Mean annual Sharpe ratio over the seeds, Student's t."""
    overfitting: Overfitting | None
    """Choosing the best seed by hindsight; None when the days are too few for it."""


@dataclass(frozen=True)
class Summary:
    """Every number of the report."""

    verdict: Verdict
    overall: SectionSummary
    sections: tuple[SectionSummary, ...]
    """One for each symbol; with a single symbol it is `overall` itself."""
    deflated_sharpe: float
    expected_maximum_sharpe: float
    """Annual Sharpe ratio that the best of so many trials without skill would show."""
    trials: TrialCount
    seeds: SeedsSummary | None


def _summarise(data: ReportData) -> Summary:
    interval_ms = data.symbols[0].market.interval_ms
    parts = [_accounts(symbol) for symbol in data.symbols]
    randoms = [symbol.baselines.random for symbol in data.symbols]
    names = [symbol.symbol for symbol in data.symbols]
    sections = tuple(
        _section(name, accounts, random, _notes(symbol), [symbol], interval_ms, data.seed)
        for name, accounts, random, symbol in zip(names, parts, randoms, data.symbols, strict=True)
    )
    if len(sections) == 1:
        overall = sections[0]
    else:
        everywhere = [name for name in parts[0] if all(name in accounts for accounts in parts)]
        combined = {name: combine([accounts[name] for accounts in parts], name) for name in everywhere}
        capital = [accounts[POLICY].initial_capital for accounts in parts]
        random = _combine_random(randoms, capital)
        overall = _section("All symbols", combined, random, {}, data.symbols, interval_ms, data.seed)

    sharpe, trials = overall.policy.sharpe, data.trials
    deflated = deflated_sharpe(
        sharpe.per_period, sharpe.n, max(trials.trials, 1), trials.variance, sharpe.skew, sharpe.kurtosis
    )
    evidence = Evidence(
        net_return=overall.policy.net_return.value,
        mean_daily=overall.policy.mean_daily,
        sharpe=sharpe,
        deflated_sharpe=deflated,
        trials=max(trials.trials, 1),
        random_p=overall.random.p_value,
        buy_and_hold=overall.baseline(BUY_AND_HOLD).net_return.value,
        trades=overall.policy.trades,
        synthetic=bool(data.synthetic),
        accuracies=tuple(
            AccuracyClaim(f"{symbol.symbol} {quality.name}", quality.minutes, quality.accuracy)
            for symbol in data.symbols
            for quality in symbol.predictions
        ),
        seen=data.seen,
    )
    best = expected_maximum_sharpe(max(trials.trials, 1), trials.variance) * math.sqrt(sharpe.periods_per_year)
    return Summary(
        verdict=judge(evidence, data.rule),
        overall=overall,
        sections=sections,
        deflated_sharpe=deflated,
        expected_maximum_sharpe=best,
        trials=trials,
        seeds=_seeds(data, interval_ms) if data.seeds else None,
    )


def _accounts(symbol: SymbolData) -> dict[str, Account]:
    base = symbol.baselines
    accounts = {
        POLICY: account_of(symbol.result, POLICY),
        FLAT: account_of(base.flat, FLAT),
        BUY_AND_HOLD: account_of(base.buy_and_hold, BUY_AND_HOLD),
        FORESIGHT: account_of(base.foresight_result, FORESIGHT),
    }
    if base.threshold is not None:
        accounts[THRESHOLD] = account_of(base.threshold.result, THRESHOLD)
    return accounts


def _notes(symbol: SymbolData) -> dict[str, str]:
    threshold = symbol.baselines.threshold
    return {} if threshold is None else {THRESHOLD: threshold.describe()}


def _section(
    title: str,
    accounts: dict[str, Account],
    random: RandomEntries,
    notes: Mapping[str, str],
    symbols: Sequence[SymbolData],
    interval_ms: int,
    seed: int,
) -> SectionSummary:
    summaries = {name: summarise_account(account, interval_ms, seed=seed) for name, account in accounts.items()}
    order = [name for name in (FLAT, BUY_AND_HOLD, THRESHOLD, FORESIGHT) if name in summaries]
    return SectionSummary(
        title=title,
        policy=summaries[POLICY],
        baselines=tuple(summaries[name] for name in order),
        notes=notes,
        random=_random_summary(random, accounts[POLICY].net_return, accounts[POLICY].initial_capital),
        accounts=accounts,
        ambiguity=ambiguity_of([(symbol.result, symbol.other) for symbol in symbols]),
    )


def _random_summary(random: RandomEntries, policy: float, capital: float) -> RandomSummary:
    returns = random.net_return
    lanes = int(returns.size)
    low, median, high = np.quantile(returns, [0.05, 0.5, 0.95])
    return RandomSummary(
        lanes=lanes,
        median=float(median),
        low=float(low),
        high=float(high),
        percentile=float(np.mean(returns < policy)),
        p_value=float(1 + np.sum(returns >= policy)) / (1 + lanes),
        returns=returns,
        open_time_ms=random.open_time_ms,
        quantiles=np.quantile(random.equity.astype(np.float64), [0.05, 0.5, 0.95], axis=1).T / capital - 1.0,
    )


def _combine_random(parts: list[RandomEntries], capital: list[float]) -> RandomEntries:
    """Lane k of every symbol added up: random accounts over all symbols together."""
    lanes = min(part.net_return.size for part in parts)
    times = np.unique(np.concatenate([part.open_time_ms for part in parts]))
    total = np.sum(
        [
            carried(part.open_time_ms, part.equity[:, :lanes].astype(np.float64), start, times)
            for part, start in zip(parts, capital, strict=True)
        ],
        axis=0,
    )
    returns = np.sum([part.net_return[:lanes] * start for part, start in zip(parts, capital, strict=True)], axis=0)
    trades = np.sum([part.trades[:lanes] for part in parts], axis=0)
    return RandomEntries(times, total.astype(np.float32), returns / sum(capital), trades)


def _seeds(data: ReportData, interval_ms: int) -> SeedsSummary:
    accounts = [
        combine([account_of(result, f"seed {seed.seed}") for result in seed.results], f"seed {seed.seed}")
        for seed in data.seeds
    ]
    rows = tuple(
        SeedRow(seed.seed, seed.chosen, summarise_account(account, interval_ms, seed=data.seed))
        for seed, account in zip(data.seeds, accounts, strict=True)
    )
    daily = np.column_stack([account.daily[1] for account in accounts])
    blocks = min(16, len(daily) // 2 // 2 * 2)
    return SeedsSummary(
        rows=rows,
        net_return=student_interval(np.array([row.summary.net_return.value for row in rows])),
        sharpe=student_interval(np.array([row.summary.sharpe.annual for row in rows])),
        overfitting=probability_of_overfitting(daily, blocks) if len(rows) > 1 and blocks >= 4 else None,
    )
