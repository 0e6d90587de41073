"""The numbers of a walk-forward study of policies, as JSON values and as Markdown tables.

Two kinds of luck are kept apart. *Over seeds*: the same days, another training; Student's interval of the seeds' mean.
*Over days*: the same policies, other days like these; bootstrap of the mean account, which holds an equal share of
every seed. The second is what decides whether there is an edge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.sharpe import SharpeEstimate, sharpe_estimate
from evaluation import formats
from evaluation.agent_study import FORESIGHT, HOLDING, RULE, SpanResult
from evaluation.intervals import RETURN_STATISTICS, Interval, bootstrap_intervals, student_interval, total_return
from evaluation.sharpe import deflated_sharpe
from evaluation.trials import TrialCount
from evaluation.verdict import Evidence, Verdict, judge

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Joined:
    """One kind of account over the test days of all windows."""

    name: str
    nets: tuple[float, ...]
    """Net return of each seed (one for baselines)."""
    over_seeds: Interval
    over_days: Interval
    mean_daily: Interval
    sharpe: SharpeEstimate
    """Of the mean account's daily returns."""
    deflated: float
    trades: float
    """Per seed, over all windows."""
    trades_per_day: float
    paid: float
    """Costs as a share of a window's capital, summed over windows; mean of the seeds."""
    in_market: float
    random: Floats
    """Net returns of the mean accounts that entered at random, empty for baselines."""

    @property
    def random_p(self) -> float:
        """How likely random entries do as well or better."""
        if not self.random.size:
            return math.nan
        return (1 + int(np.sum(self.random >= self.over_seeds.value))) / (1 + self.random.size)


@dataclass(frozen=True, eq=False)
class StudySummary:
    """Everything the tables say."""

    symbol: str
    synthetic: bool
    windows: tuple[tuple[SpanResult, ...], ...]
    """Results of each window."""
    policies: tuple[Joined, ...]
    luckiest: tuple[Joined, ...]
    """The best seed of each algorithm, in hindsight."""
    baselines: tuple[Joined, ...]
    trials: TrialCount
    verdicts: Mapping[str, Verdict]


def joined(name: str, seeds: Sequence[Sequence[SpanResult]], trials: TrialCount | None = None) -> Joined:
    """Put windows after one another: `seeds` holds the windows' results of each seed. Capital is carried on, so returns
    compound."""
    daily = daily_returns(seeds)
    mean_account = daily.mean(axis=0)
    nets = tuple(total_return(one) for one in daily)
    boot = bootstrap_intervals(mean_account, RETURN_STATISTICS)
    sharpe = sharpe_estimate(mean_account)
    deflated = math.nan
    if trials is not None:
        deflated = deflated_sharpe(
            sharpe.per_period, sharpe.n, max(trials.trials, 1), trials.variance, sharpe.skew, sharpe.kurtosis
        )
    flat = [result for windows in seeds for result in windows]
    trades = sum(result.trades for result in flat) / len(seeds)
    random = np.array([[result.random for result in windows] for windows in seeds])  # seeds, windows, accounts
    return Joined(
        name,
        nets,
        student_interval(np.array(nets)),
        boot["total"],
        boot["mean"],
        sharpe,
        deflated,
        trades,
        trades / daily.shape[1],
        sum(result.paid for result in flat) / len(seeds),
        float(np.mean([result.in_market for result in flat])),
        (np.prod(1.0 + random, axis=1) - 1.0).mean(axis=0),
    )


def daily_returns(seeds: Sequence[Sequence[SpanResult]]) -> Floats:
    """float64 (S, D): each seed's net daily returns over all windows."""
    return np.array([np.concatenate([result.daily for result in windows]) for windows in seeds])


def summarise(
    symbol: str, windows: Sequence[Sequence[SpanResult]], algorithms: Sequence[str], trials: TrialCount, synthetic: bool
) -> StudySummary:
    """Join the windows' results and judge each algorithm by the rule of `evaluation.verdict`."""
    by_seed = {name: seeds_of(name, windows) for name in algorithms}
    policies = tuple(joined(name.upper(), by_seed[name], trials) for name in algorithms)
    luckiest = tuple(
        joined(f"{policy.name}, luckiest seed", [by_seed[name][int(np.argmax(policy.nets))]], trials)
        for name, policy in zip(algorithms, policies, strict=True)
    )
    baselines = tuple(joined(name, seeds_of(name, windows)) for name in (HOLDING, RULE, FORESIGHT))
    verdicts = {
        policy.name: judge(
            Evidence(
                net_return=policy.over_seeds.value,
                mean_daily=policy.mean_daily,
                sharpe=policy.sharpe,
                deflated_sharpe=policy.deflated,
                trials=max(trials.trials, 1),
                random_p=policy.random_p,
                buy_and_hold=baselines[0].over_seeds.value,
                trades=round(policy.trades),
                synthetic=synthetic,
            )
        )
        for policy in policies
    }
    found = tuple(tuple(window) for window in windows)
    return StudySummary(symbol, synthetic, found, policies, luckiest, baselines, trials, verdicts)


def seeds_of(name: str, windows: Sequence[Sequence[SpanResult]]) -> list[list[SpanResult]]:
    """The windows' results of each seed of one algorithm (or of one baseline), in the order in which seeds appear."""
    found = [[result for result in window if result.name == name] for window in windows]
    return [list(results) for results in zip(*found, strict=True)]


def markdown(summary: StudySummary) -> str:
    """The study's tables: all windows joined, each window, each seed, and the verdicts."""
    label = " (SYNTHETIC)" if summary.synthetic else ""
    days = summary.policies[0].sharpe.n
    lines = [
        f"{summary.symbol}{label}, {len(summary.windows)} windows, {days} test days, {len(summary.policies[0].nets)} "
        f"seeds, {formats.counted(summary.trials.trials, 'trial')} counted:",
        "",
        "| | net return | 95 % over seeds | 95 % over days | Sharpe a year ± s.e. | deflated Sharpe | trades a day | "
        "costs | in the market | p, random entries |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(joined_row(one) for one in (*summary.policies, *summary.luckiest)),
        "| flat | 0.00 % | – | – | – | – | 0.0 | 0.00 % | 0 % | – |",
        *(joined_row(one) for one in summary.baselines),
        *(random_row(one) for one in summary.policies),
        "",
        f"| window | {' | '.join(one.name for one in summary.policies)} | {HOLDING} | {RULE} | {FORESIGHT} |",
        "|---" * (len(summary.policies) + 4) + "|",
        *(window_row(number, results, summary) for number, results in enumerate(summary.windows)),
        "",
        *(
            f"{one.name} by seed: {', '.join(map(formats.percent, one.nets))}. {summary.verdicts[one.name].sentence}\n"
            for one in summary.policies
        ),
    ]
    return "\n".join(lines)


def joined_row(one: Joined) -> str:
    """A line of the joined table."""
    sharpe = f"{formats.signed(one.sharpe.annual, 2)} ± {formats.plain(one.sharpe.annual_standard_error, 2)}"
    cells = (
        one.name,
        formats.percent(one.over_seeds.value),
        reach(one.over_seeds),
        reach(one.over_days),
        sharpe,
        formats.probability(one.deflated),
        f"{one.trades_per_day:.1f}",
        formats.share(one.paid, 2),
        formats.share(one.in_market),
        formats.p_value(one.random_p),
    )
    return f"| {' | '.join(cells)} |"


def random_row(one: Joined) -> str:
    """A line about the accounts that made an algorithm's trades at random times: mean, and 90 % of them."""
    low, high = (float(value) for value in np.quantile(one.random, (0.05, 0.95)))
    spread = f"90 %: {formats.percent(low)} to {formats.percent(high)}"
    mean = formats.percent(float(one.random.mean()))
    cells = (f"random entries, {one.name}'s trades", mean, "–", spread, "–", "–", f"{one.trades_per_day:.1f}", *"–––")
    return f"| {' | '.join(cells)} |"


def window_row(number: int, results: Sequence[SpanResult], summary: StudySummary) -> str:
    """A line of the table by window: mean over seeds and its 95 % interval."""
    cells = []
    for name in (*(one.name.lower() for one in summary.policies), HOLDING, RULE, FORESIGHT):
        nets = student_interval(np.array([total_return(np.array(one.daily)) for one in results if one.name == name]))
        note = next(one.note for one in results if one.name == name)
        extent = "" if math.isnan(nets.low) else f" [{reach(nets)}]"
        cells.append(formats.percent(nets.value) + extent + (f" ({note})" if note else ""))
    days = results[0].days_ms
    span = f"{formats.date(days[0])} to {formats.date(days[-1])}"
    return f"| {number}: {span} | {' | '.join(cells)} |"


def reach(interval: Interval) -> str:
    """The ends of an interval of returns, a dash when there are none."""
    if math.isnan(interval.low):
        return "–"
    return f"{formats.percent(interval.low)} to {formats.percent(interval.high)}"


def summary_json(summary: StudySummary) -> dict[str, Any]:
    """Plain values for summary.json; pass them through `evaluation.run_folder.jsonable`."""

    def of(one: Joined) -> dict[str, Any]:
        return {
            "net_by_seed": one.nets,
            "net_over_seeds": one.over_seeds,
            "net_over_days": one.over_days,
            "mean_daily": one.mean_daily,
            "sharpe": one.sharpe,
            "sharpe_annual": one.sharpe.annual,
            "sharpe_annual_standard_error": one.sharpe.annual_standard_error,
            "deflated_sharpe": one.deflated,
            "trades_per_day": one.trades_per_day,
            "costs": one.paid,
            "in_market": one.in_market,
            "random_p": one.random_p,
        }

    return {
        "symbol": summary.symbol,
        "synthetic": summary.synthetic,
        "trials": summary.trials,
        "joined": {one.name: of(one) for one in (*summary.policies, *summary.luckiest, *summary.baselines)},
        "verdicts": summary.verdicts,
        "windows": summary.windows,
    }
