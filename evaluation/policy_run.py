"""Any policy judged on any market: the report of `evaluation.report`, without the models and seeds of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.run_identity import market_digest
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy
from envs.rules import BuyAndHoldRule, FlatRule, ThresholdRule
from evaluation.account import account_of
from evaluation.ambiguity import other_bound
from evaluation.baselines import recorded_backtest, run_baselines
from evaluation.judge import trial_of
from evaluation.report_data import ReportData, SymbolData
from evaluation.run_folder import environment, jsonable
from evaluation.trials import TrialCount, TrialLog, trial_key

RULES = "flat, buy-and-hold, threshold:COLUMN:ENTER[:EXIT[:CENTER]]"


@dataclass(frozen=True, eq=False)
class PolicyRun:
    """What is judged, where, and what is known about it."""

    policy: Policy
    name: str
    """A few words for the reader: a path, or a rule with its numbers."""
    identity: str
    """Digest or name that tells this policy from any other."""
    market: Market
    """The bars it is judged on."""
    config: MarketConfig
    """Rules of that market, one initial capital."""
    subject: str
    """What is traded, as logs of trials name it."""
    synthetic: str = ""
    """Which synthetic market it is; empty for real bars."""
    seen: str = ""
    """Why these bars are no evidence, in words; empty when they are."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Names and values of where policy and bars come from."""
    random_accounts: int = 300
    """Accounts that enter at random."""
    seed: int = 0
    """Of random entries and bootstraps."""


def rule_of(text: str, market: Market, config: MarketConfig) -> Policy | None:
    """The rule that `text` names (see `RULES`), None when it names none: it is a path then.

    Raises InputError for parameters that are missing, no numbers, or name a column that the market does not have.
    """
    name, *rest = text.split(":")
    if name == "flat" and not rest:
        return FlatRule(config)
    if name == "buy-and-hold" and not rest:
        return BuyAndHoldRule(config)
    if name != "threshold":
        return None
    try:
        column, enter, exit, center = (*rest, *("0", "0")[len(rest) - 2 :])
        numbers = float(enter), float(exit), float(center)
    except ValueError:
        raise InputError(f"rule {text!r} cannot be read", where="--policy", remedy=f"write {RULES}") from None
    return ThresholdRule(
        column, numbers[0], numbers[1], columns=observation_columns(market), config=config, center=numbers[2]
    )


def check_columns(wanted: tuple[str, ...], market: Market, where: str) -> None:
    """Raise InputError unless the market shows just the columns that a policy observes, in its order."""
    given = observation_columns(market)
    if wanted == given:
        return
    lacking = [name for name in wanted if name not in given]
    surplus = [name for name in given if name not in wanted]
    if lacking:
        what = f"it observes {len(lacking)} columns that the market does not have, such as {lacking[0]!r}"
    elif surplus:
        what = f"the market has {len(surplus)} columns that it does not observe, such as {surplus[0]!r}"
    else:
        what = "it observes the market's columns in another order"
    raise InputError(what, where=where, remedy="give a market of the run that the policy was trained in, or --run")


def judge_policy(run: PolicyRun, log: TrialLog | None = None) -> ReportData:
    """Backtest the policy beside its baselines and put the report's data together.

    With a `log` the judgement is appended to it as a trial (the same policy on the same bars and rules counts once),
    and the deflated Sharpe ratio counts every trial on the subject; without one it counts this one alone.
    """
    result, orders = recorded_backtest(run.market, run.config, run.policy)
    trials = TrialCount(1, 0.0)
    if log is not None:
        key = trial_key(run.identity, jsonable(run.config), market_digest(run.market))
        log.append(trial_of(run.subject, key, account_of(result, run.name), {"policy": run.name}))
        trials = log.count(run.subject)
    symbol = SymbolData(
        market=run.market,
        result=result,
        other=other_bound(run.market, run.config, run.policy, result),
        baselines=run_baselines(
            run.market, run.config, result, orders, random_accounts=run.random_accounts, seed=run.seed
        ),
    )
    return ReportData(
        title=f"{run.market.symbol} · {run.name}",
        policy=f"{run.config.action_mode.replace('_', '-')} actions",
        symbols=(symbol,),
        trials=trials,
        synthetic=run.synthetic,
        seen=run.seen,
        provenance={
            "Policy and bars": dict(run.provenance),
            "Instrument": {run.market.symbol: jsonable(run.market.instrument)},
            "Rules of the market": jsonable(run.config),
            "Software": environment(),
        },
        seed=run.seed,
    )


def named_policy(path: Path) -> Path:
    """The policy that a path means: a run folder of run_scalping_experiment stands for its policy.onnx."""
    return path / "policy.onnx" if (path / "policy.onnx").is_file() else path


def run_around(path: Path) -> Path | None:
    """The run folder of run_scalping_experiment that a path lies in (or is), None when there is none."""
    path = path.resolve()
    return next(
        (at for at in (path, *path.parents) if (at / "markets").is_dir() and (at / "predictions").is_dir()), None
    )
