"""Edge by the size of the account, $100 to $100K: lots bite at one end, impact and volume at the other.

    python -m scripts.capital_curve --files BTCUSDT-1m-2026-03.zip --out capital.html
    python -m scripts.capital_curve --synthetic planted_edge
    python -m scripts.capital_curve --market runs/btc/markets/BTCUSDT --policy runs/btc/policy.onnx --share 0.2

Without --policy the best threshold rule on one feature trades, chosen on the bars before those that are shown. The page
is one file, readable without a network and without scripts.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from features.store.config import BarsConfig
from scripts.cli import run

if TYPE_CHECKING:
    from envs.market import Market
    from envs.policy import Policy
    from evaluation.threshold_search import Candidate


@dataclass(frozen=True)
class Args:
    """What trades, on which bars, with how much."""

    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """Bars of one symbol."""
    synthetic: Literal["no_edge", "planted_edge"] | None = None
    """A synthetic market instead of bars."""
    days: int = 60
    """Days of the synthetic market."""
    seed: int = 0
    """Seed of the synthetic market and of the intervals."""
    market: Path | None = None
    """A saved market (RUN/markets/SYMBOL) instead of bars."""
    policy: Path | None = None
    """A checkpoint folder or .onnx file of a policy for that market; it trades by the rules it was trained under."""
    share: float = 0.3
    """Share of the bars, at their end, that the curve is taken from; a rule is chosen on those before."""
    capitals: tuple[float, ...] = (100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
    """Quote units of each account."""
    signals_per_day: float = 10.0
    """A rule is chosen among those whose signals come at least so often: one that hardly trades shows nothing."""
    contract: Literal["spot", "linear"] = "linear"
    """Rules of the instrument, for bars."""
    half_spread_bps: float = 0.5
    """Half-spread of every market order."""
    spread_model: bool = False
    """For bars: the half-spread that the bars themselves tell (`envs.spread`) in place of the constant one."""
    impact: float = 1.0
    """Y of the square-root impact."""
    max_participation: float = 0.1
    """Largest share of a bar's volume that one account can fill."""
    leverage: float = 1.0
    """Cap on position value over equity at entry."""
    out: Path = Path("capital.html")
    """The page; the same numbers lie beside it as .json."""


def main(args: Args) -> int:
    """Write the page, its numbers as JSON beside it, and print the table."""
    from rich.console import Console
    from rich.table import Table

    from data_pipeline.files import write_json
    from evaluation import formats
    from evaluation.capital import capital_curve
    from evaluation.capital_report import CapitalReport, money, write_capital_report
    from evaluation.run_folder import jsonable

    if not args.capitals or list(args.capitals) != sorted(set(args.capitals)):
        raise InputError(f"capitals {args.capitals} do not rise", where="--capitals", remedy="give each once, in order")
    if not 0.0 < args.share < 1.0:
        raise InputError(f"share {args.share} is not between 0 and 1", where="--share")
    if args.policy is not None and args.market is None:
        raise InputError("a policy needs its market", where="--policy", remedy="add --market RUN/markets/SYMBOL")
    market, provenance = market_of(args)
    cut = len(market) - max(int(args.share * len(market)), 2)
    if cut < 2:
        raise InputError(f"{len(market)} bars are too few", where=market.symbol, remedy="give more")
    policy, config, trader = trader_of(args, market.slice(0, cut), market)
    shown = market.slice(cut, len(market))
    report = CapitalReport(
        symbol=market.symbol,
        trader=trader,
        span_ms=(int(shown.open_time_ms[0]), int(shown.open_time_ms[-1])),
        bars=len(shown),
        points=capital_curve(shown, config, policy, args.capitals, seed=args.seed),
        provenance={**provenance, "instrument": asdict(market.instrument), "market": asdict(config)},
        synthetic=args.synthetic,
    )
    table = Table(title=f"Edge by capital, {market.symbol}" + (" (SYNTHETIC)" if args.synthetic else ""))
    for name in (
        "capital",
        "trades",
        "net edge",
        "95 %",
        "put to work",
        "refused",
        "cut short",
        "ambiguous",
        "net return",
        "other bound",
    ):
        table.add_column(name, justify="right")
    for point in report.points:
        net = point.net_bps
        reach = f"{formats.signed(net.low, 1)} to {formats.signed(net.high, 1)}"
        sizes = (formats.share(point.deployed), f"{point.refused:,}", f"{point.partial:,}")
        returns = (formats.percent(point.net_return, 1), formats.percent(point.other_return, 1))
        row = (f"{point.trades:,}", formats.bps(net.value), reach, *sizes, formats.share(point.ambiguous, 1), *returns)
        table.add_row(money(point.capital), *row)
    console = Console()
    console.print(table)
    console.print(report.sentence, soft_wrap=True, highlight=False)
    write_json(args.out.with_suffix(".json"), jsonable({"trader": trader, "points": report.points, **provenance}))
    console.print(f"written: {write_capital_report(report, args.out)}", soft_wrap=True, highlight=False)
    return 0


def market_of(args: Args) -> tuple[Market, dict[str, Any]]:
    """The market to trade in, and where it comes from."""
    from data_pipeline.schema import INTERVAL_MS
    from envs.market import Market
    from evaluation.bars_market import market_of_bars
    from features.store.feature_set import bars_digest
    from features.store.sources import one_source

    if args.market is not None:
        return Market.load(args.market), {"market folder": args.market}
    source = one_source(args.bars, args.synthetic, args.days, args.seed)
    bars, interval_ms = source.read(), INTERVAL_MS[source.series.interval]
    market = market_of_bars(
        bars,
        source.series.symbol,
        interval_ms,
        slice(0, int((1.0 - args.share) * len(bars))),
        contract=args.contract,
        spread_of_bars=args.spread_model,
    )
    return market, {"series": str(source.series), "bars": f"{len(bars):,}, digest {bars_digest(bars)}"}


def trader_of(args: Args, before: Market, market: Market) -> tuple[Policy, MarketConfig, str]:
    """Policy, rules and a sentence about both; a rule is chosen on the bars `before` those that are shown."""
    import numpy as np

    from envs.observation import observation_columns
    from evaluation.formats import percent, plain
    from evaluation.threshold_search import candidate_returns, candidates

    if args.policy is not None:
        from agents.policy import load_policy

        trained = load_policy(args.policy)
        if trained.spec.observation_columns != observation_columns(market):
            raise InputError("it observes other columns than the market has", where=str(args.policy))
        return trained, MarketConfig.from_dict(trained.spec.market), f"The policy {args.policy} trades."
    config = MarketConfig(
        half_spread_bps=args.half_spread_bps,
        impact=args.impact,
        max_participation=args.max_participation,
        leverage=args.leverage,
    )
    found = candidates(before, market.columns)
    returns = candidate_returns(found, before, config, 10_000.0)
    often = np.array([signals_per_day(rule, before) >= args.signals_per_day for rule in found])
    if not often.any():
        raise InputError(
            f"no rule has {args.signals_per_day:g} signals a day", where=market.symbol, remedy="lower --signals-per-day"
        )
    best = int(np.where(often, returns, -np.inf).argmax())
    rule = found[best]
    trader = (
        f"A rule trades: long when {rule.column} is {plain(rule.enter, 3)} above {plain(rule.center, 3)}, short when "
        f"that much below; the best of {often.sum()} with {args.signals_per_day:g} signals a day, on the bars "
        f"before ({percent(float(returns[best]))} there)."
    )
    return rule.rule(market, config), config, trader


def signals_per_day(rule: Candidate, market: Market) -> float:
    """How often the rule's column goes beyond its threshold."""
    import numpy as np

    values = market.observations[:, market.columns.index(rule.column)] - rule.center
    begins = np.count_nonzero(np.diff((np.abs(values) > rule.enter).view(np.int8)) == 1)
    return begins * 86_400_000 / (market.interval_ms * len(market))


def main_cli() -> int:
    """Entry point of `python -m scripts.capital_curve`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
