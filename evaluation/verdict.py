"""From the numbers to one plain sentence: is there evidence of an edge?

The rule is fixed before the numbers are seen. There is evidence only when *every* test passes:

1. the bootstrap interval of the mean daily net return lies above zero;
2. the deflated Sharpe ratio, over all trials in the log, is above 0.95;
3. net return beats random entries with the same exits, p < 0.05;
4. net return beats staying flat and buy-and-hold.

Too few days or trades to judge give neither a yes nor a no.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from envs.sharpe import SharpeEstimate
from evaluation.formats import counted, p_value, percent, share
from evaluation.intervals import Interval


@dataclass(frozen=True)
class VerdictRule:
    """The thresholds of the rule."""

    min_days: int = 20
    min_trades: int = 30
    deflated_sharpe: float = 0.95
    random_p: float = 0.05
    suspicious_accuracy: float = 0.55
    """Directional accuracy that honest work on real bars has not reached over the next minutes."""
    suspicious_horizon_minutes: float = 15.0
    suspicious_sharpe: float = 3.0
    """Annual Sharpe ratio net of costs that honest work on real bars has not reached."""

    def sentence(self) -> str:
        """The rule in words, for the report."""
        return (
            "Evidence of an edge needs every one of these on days never seen in training or selection: the 95 % "
            "bootstrap interval of the mean daily net return above zero, a deflated Sharpe ratio above "
            f"{self.deflated_sharpe:g}, more than random entries with the same exits (p < {self.random_p:g}), and more "
            f"than flat and buy-and-hold. With fewer than {self.min_days} days or {self.min_trades} trades nothing is "
            "concluded."
        )


@dataclass(frozen=True, slots=True)
class AccuracyClaim:
    """A model's accuracy, for the check whether it is too good to be true."""

    name: str
    horizon_minutes: float
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdict is made from. Returns are shares (0.01 = 1 %), net of all costs, on the test span."""

    net_return: float
    mean_daily: Interval
    """Mean daily net return with its bootstrap interval; `n` is the number of days."""
    sharpe: SharpeEstimate
    deflated_sharpe: float
    trials: int
    random_p: float
    buy_and_hold: float
    trades: int
    synthetic: bool
    accuracies: tuple[AccuracyClaim, ...] = ()
    seen: str = ""
    """Why the days are no evidence, in words: the policy was trained on them. Empty when it was not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One test of the rule, in words."""

    name: str
    passed: bool
    finding: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion and what it rests on."""

    level: Literal["evidence", "none", "too_little"]
    sentence: str
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    """Results too good to be believed; empty on synthetic markets, whose edge may be as large as it was planted."""


def judge(evidence: Evidence, rule: VerdictRule | None = None) -> Verdict:
    """Apply the rule."""
    rule = rule or VerdictRule()
    checks = _checks(evidence, rule)
    failed = [check for check in checks if not check.passed]
    days, trades = evidence.mean_daily.n, evidence.trades
    verb = "made" if evidence.net_return >= 0.0 else "lost"
    outcome = f"the policy {verb} {share(abs(evidence.net_return), 2)} net of costs"
    span = f"{counted(days, 'test day')} and {counted(trades, 'trade')}"
    level: Literal["evidence", "none", "too_little"]
    if evidence.seen:
        level = "none"
        sentence = f"No evidence of anything: {evidence.seen}. There {outcome} in {counted(trades, 'trade')}."
    elif trades == 0:
        level, sentence = "none", f"No evidence of an edge: the policy never traded in {counted(days, 'test day')}."
    elif days < rule.min_days or trades < rule.min_trades:
        level = "too_little"
        needed = f"at least {rule.min_days} days and {rule.min_trades} trades are needed"
        sentence = f"Too little data to say: {span}, where {needed}. So far {outcome}."
    elif failed:
        level = "none"
        names = ", ".join(check.name[0].lower() + check.name[1:] for check in failed)
        sentence = f"No evidence of an edge: {outcome} in {span}. Failed: {names}."
    else:
        level = "evidence"
        sentence = f"Evidence of an edge: {outcome} in {span}, and every test of the rule is passed."
    if evidence.synthetic:
        sentence += " The market is SYNTHETIC, so this says nothing about real ones."
    warnings = () if evidence.synthetic else _warnings(evidence, rule)
    if warnings:
        sentence += " Some numbers are suspiciously good: treat them as a leak until disproved."
    return Verdict(level, sentence, checks, warnings)


def _checks(e: Evidence, rule: VerdictRule) -> tuple[Check, ...]:
    low, high = e.mean_daily.low, e.mean_daily.high
    deflated = "unknown" if math.isnan(e.deflated_sharpe) else f"{e.deflated_sharpe:.2f}"
    chance = "unknown" if math.isnan(e.random_p) else p_value(e.random_p)
    return (
        Check(
            "Net profit above zero",
            low > 0.0,
            "the interval of the mean daily net return cannot be computed"
            if math.isnan(low)
            else f"the mean daily net return lies between {percent(low, 3)} and {percent(high, 3)}",
        ),
        Check(
            f"Deflated Sharpe above {rule.deflated_sharpe:g}",
            e.deflated_sharpe > rule.deflated_sharpe,
            f"the deflated Sharpe ratio is {deflated} after {counted(e.trials, 'trial')}",
        ),
        Check(
            "Better than random entries",
            e.random_p < rule.random_p,
            f"random entries with the same exits do as well or better with probability {chance}",
        ),
        Check("Better than flat", e.net_return > 0.0, f"it made {percent(e.net_return)} where staying flat makes 0"),
        Check(
            "Better than buy-and-hold",
            e.net_return > e.buy_and_hold,
            f"it made {percent(e.net_return)} where buy-and-hold made {percent(e.buy_and_hold)}",
        ),
    )


def _warnings(e: Evidence, rule: VerdictRule) -> tuple[str, ...]:
    found = [
        f"{claim.name} is right {share(claim.accuracy.value, 1)} of the time over {claim.horizon_minutes:g} minutes on "
        f"real bars, where honest work has stayed below {share(rule.suspicious_accuracy)}"
        for claim in e.accuracies
        if claim.horizon_minutes <= rule.suspicious_horizon_minutes
        and claim.accuracy.value > rule.suspicious_accuracy
        and claim.accuracy.low > 0.5  # a handful of lucky calls is no claim
    ]
    if e.sharpe.annual > rule.suspicious_sharpe:
        found.append(
            f"an annual Sharpe ratio of {e.sharpe.annual:.1f} net of costs on real bars, where honest work has stayed "
            f"below {rule.suspicious_sharpe:g}"
        )
    return tuple(found)
