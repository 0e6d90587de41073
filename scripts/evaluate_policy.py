"""Any policy in the backtest, over any bars, beside its baselines: a table, summary.json and a page.

    python -m scripts.evaluate_policy --policy runs/btc --market runs/btc/markets/BTCUSDT
    python -m scripts.evaluate_policy --policy runs/btc/policy.onnx --files BTCUSDT-1m-2026-0[34].zip
    python -m scripts.evaluate_policy --policy threshold:return_1:0.5 --synthetic no_edge --days 40 --fees-bps 2 5
    python -m scripts.evaluate_policy --policy buy-and-hold --files BTCUSDT-1m-2026-03.zip --share 0.5

A policy is a checkpoint or run folder, an ONNX file, or a rule: flat, buy-and-hold,
threshold:COLUMN:ENTER[:EXIT[:CENTER]]. It trades by the rules of the market that it was trained under, as far as no
option says otherwise. A trained policy sees new bars as its run would have shown them: features, predictions of the
last fold's models, scaling by the run's training rows; let the bars begin early enough for the features' warm-up. Days
that it was trained or selected on are left out unless --share or --from asks for them; the page then says that they
prove nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_pipeline.errors import InputError
from envs.config import BothTouched, MarketConfig
from features.store.config import BarsConfig
from scripts.cli import run

if TYPE_CHECKING:
    from envs.market import Market
    from envs.policy import Policy


@dataclass(frozen=True)
class RuleChanges:
    """What differs from the rules that the policy was trained under (for a rule: from the usual ones)."""

    initial_capital: float | None = None
    """Quote units at the start; for a policy trained over a range, its geometric mean when left out."""
    fees_bps: tuple[float, float] | None = None
    """Maker and taker fee in place of the instrument's."""
    half_spread_bps: float | None = None
    """Half-spread of market orders, where the market's rows give none."""
    impact: float | None = None
    """Y of the square-root impact."""
    latency_ms: float | None = None
    """From decision to exchange."""
    max_participation: float | None = None
    """Largest share of a bar's volume that the account can fill."""
    leverage: float | None = None
    """Cap on position value over equity at entry."""
    ttl_bars: float | None = None
    """Bars after which a position is closed."""
    default_tp_bps: float | None = None
    """Take-profit distance, for discrete actions and rules."""
    default_sl_bps: float | None = None
    """Stop-loss distance, for discrete actions and rules."""
    both_touched: BothTouched | None = None
    """Which barrier a bar that touched both counts as."""

    def applied(self, config: MarketConfig) -> MarketConfig:
        """`config` with these changes. Raises InputError for a bracket that the policy's own actions choose."""
        changes = {name: value for name, value in vars(self).items() if value is not None}
        if config.action_mode != "discrete" and changes.keys() & {"default_tp_bps", "default_sl_bps"}:
            raise InputError(
                "the policy's own actions choose take-profit and stop-loss",
                where="--default-tp-bps, --default-sl-bps",
                remedy="leave them out",
            )
        low, high = config.capital_range
        return replace(config, **{"initial_capital": (low * high) ** 0.5, **changes})


@dataclass(frozen=True)
class Args:
    """Which policy, on which bars, by which rules."""

    policy: str
    """Checkpoint or run folder, .onnx file, or a rule."""
    market: Path | None = None
    """A saved market (RUN/markets/SYMBOL)."""
    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """Bars of one symbol instead."""
    synthetic: Literal["no_edge", "planted_edge"] | None = None
    """A synthetic market instead."""
    days: int = 60
    """Days of the synthetic market."""
    run: Path | None = None
    """Run folder whose features, models and scaling the policy needs for new bars; found by itself where the policy
    lies inside it."""
    symbol: str | None = None
    """Symbol of that run; may be left out when it has one."""
    share: float | None = None
    """Judge this share of the bars, at their end (1: all). For a rule on bars 0.3 when left out: the bars before scale
    the features."""
    since: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Judge bars from this moment on, ISO, UTC."""
    until: str | None = None
    """Judge bars before this moment, ISO, UTC."""
    contract: Literal["spot", "linear"] = "linear"
    """Rules of the instrument, for a rule on bars."""
    rules: Annotated[RuleChanges, tyro.conf.arg(name="")] = field(default_factory=RuleChanges)
    """Other rules of the market."""
    trials: Path | None = None
    """Log of trials (trials.jsonl): this judgement is added, and the deflated Sharpe ratio counts all on the
    subject."""
    subject: str | None = None
    """What is traded, as the log names it; the symbol when left out, after SYNTHETIC and the kind where it is one."""
    random_accounts: int = 300
    """Accounts that make the policy's trades at random times."""
    seed: int = 0
    """Of the synthetic market, random entries and bootstraps."""
    out: Path = Path("evaluation-of-policy")
    """Folder for summary.json and report.html."""


def main(args: Args) -> int:
    """Judge the policy, print the table, write summary.json and report.html."""
    from rich.console import Console

    from data_pipeline.files import write_json
    from evaluation.policy_run import judge_policy
    from evaluation.report import write_report
    from evaluation.summary import summary_dict, summary_table
    from evaluation.trials import TrialLog

    if (
        sum([args.market is not None, args.synthetic is not None, args.bars.store is not None or args.bars.files != ()])
        != 1
    ):
        raise InputError(
            "give one of --market, --files, --store and --synthetic",
            where="bars",
            remedy="for example --market RUN/markets/SYMBOL",
        )
    data = judge_policy(_policy_run(args), TrialLog(args.trials) if args.trials else None)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "summary.json", summary_dict(data))
    page = write_report(data, args.out / "report.html")
    console = Console()
    console.print(summary_table(data))
    if data.seen:
        console.print(f"WARNING: {data.seen}.", style="bold red", soft_wrap=True, highlight=False)
    console.print(f"\n{data.summary.verdict.sentence}\n", style="bold", soft_wrap=True, highlight=False)
    console.print(f"written: {page} and summary.json", soft_wrap=True, highlight=False)
    return 0


def _policy_run(args: Args) -> Any:
    """Policy, market, rules and what is known about them."""
    from data_pipeline.files import file_sha256
    from evaluation.policy_days import first_unseen_ms, seen_before
    from evaluation.policy_run import PolicyRun, check_columns, named_policy, rule_of

    named = args.policy.split(":")[0] in ("flat", "buy-and-hold", "threshold") and not Path(args.policy).exists()
    provenance: dict[str, Any] = {"policy": args.policy}
    seen: dict[str, Any] = {}
    policy: Policy | None
    if named:
        config = args.rules.applied(MarketConfig())
        whole, begin, synthetic = _market(args, None)
        policy, identity = rule_of(args.policy, whole, config), args.policy
    else:
        from agents.checkpoints import POLICY_WEIGHTS, checkpoint_of
        from agents.policy import load_policy
        from live.trained_run import market_rules

        path = named_policy(Path(args.policy))
        trained = load_policy(path)
        config = args.rules.applied(market_rules(trained, str(path)))
        whole, begin, synthetic = _market(args, path)
        check_columns(trained.spec.observation_columns, whole, str(path))
        identity = file_sha256(path if path.suffix == ".onnx" else checkpoint_of(path) / POLICY_WEIGHTS)
        policy, seen = trained, trained.spec.seen
        provenance |= {"algorithm": trained.spec.algorithm, "iterations": trained.spec.iteration, "digest": identity}
    assert policy is not None
    market = _judged(args, whole, begin, first_unseen_ms(seen) if not named else None)
    subject = " ".join([*(["SYNTHETIC", synthetic] if synthetic else []), market.symbol])
    return PolicyRun(
        policy=policy,
        name=args.policy,
        identity=identity,
        market=market,
        config=config,
        subject=args.subject or subject,
        synthetic=synthetic,
        seen="" if named else seen_before(seen, market),
        provenance=provenance | {"bars": str(args.market or args.bars.files or args.bars.store or args.synthetic)},
        random_accounts=args.random_accounts,
        seed=args.seed,
    )


def _market(args: Args, policy: Path | None) -> tuple[Market, int, str]:
    """All bars with the columns that policies observe, the first row that may be judged, and the synthetic kind."""
    import json

    from data_pipeline.schema import INTERVAL_MS
    from envs.market import Market
    from evaluation.bars_market import market_of_bars
    from evaluation.policy_run import run_around
    from features.store.sources import one_source

    if args.market is not None:
        around = run_around(args.market)
        about = json.loads((around / "data.json").read_text()) if around and (around / "data.json").exists() else {}
        return Market.load(args.market), 0, (about.get("synthetic") or {}).get("setting", "")
    source = one_source(args.bars, args.synthetic, args.days, args.seed)
    bars, interval_ms, synthetic = source.read(), INTERVAL_MS[source.series.interval], args.synthetic or ""
    run_folder = args.run or (run_around(policy) if policy else None)
    if run_folder is not None:
        from evaluation.policy_market import later_market
        from live.trained_run import load_run

        known = load_run(run_folder, symbol=args.symbol, policy=policy)
        market = later_market(
            bars,
            known.predictions,
            feature_names=known.fold.feature_names,
            columns=known.columns,
            scaler=known.scaler,
            instrument=known.instrument,
            interval_ms=interval_ms,
            further=known.further,
            spread_of_bars=known.spread_of_bars,
        )
        return market, 0, synthetic
    if policy is not None:
        raise InputError(
            "new bars need the scaling, and perhaps the models, of the run that the policy was trained in",
            where=str(policy),
            remedy="pass --run RUN, or --market RUN/markets/SYMBOL",
        )
    begin = _first_row(args, bars.open_time_ms, 0.3)
    if begin < 2:
        raise InputError(
            "no bars before those that are judged, to scale the features by", where="--share", remedy="lower it"
        )
    market = market_of_bars(bars, source.series.symbol, interval_ms, slice(0, begin), contract=args.contract)
    return market, begin, synthetic


def _judged(args: Args, whole: Market, begin: int, unseen_ms: int | None) -> Market:
    """The bars that are judged: the share or the span asked for, else what the policy has not seen."""
    import numpy as np

    from data_pipeline.store.layout import to_ms

    times = whole.open_time_ms
    if begin == 0:
        begin = _first_row(args, times, 1.0)
        if args.share is None and args.since is None and unseen_ms is not None:
            begin = int(np.searchsorted(times, unseen_ms))
            if begin >= len(times) - 1:
                raise InputError(
                    "the policy was trained or selected on all of these days",
                    where="bars",
                    remedy="give later bars; or --share 1 to see it trade the days it knows, which proves nothing",
                )
    until = to_ms(args.until, "until")
    stop = len(times) if until is None else int(np.searchsorted(times, until))
    if stop - begin < 2:
        raise InputError(
            f"{max(stop - begin, 0)} bars are left to be judged", where="--from, --until", remedy="widen the span"
        )
    return whole.slice(begin, stop)


def _first_row(args: Args, times: Any, share: float) -> int:
    """The first row of the share or span asked for."""
    import numpy as np

    from data_pipeline.store.layout import to_ms

    since = to_ms(args.since, "from")
    if since is not None:
        return int(np.searchsorted(times, since))
    share = share if args.share is None else args.share
    if not 0.0 < share <= 1.0:
        raise InputError(f"share {share} is not in (0, 1]", where="--share")
    return len(times) - max(int(share * len(times)), 2)


def main_cli() -> int:
    """Entry point of `python -m scripts.evaluate_policy`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
