"""A page about features: distributions, correlations, stability over months, and what of it all survives as knowledge.

    python -m scripts.report_features --files BTCUSDT-1m-2026-03.zip --out features.html
    python -m scripts.report_features --store data/store --symbols BTC/USDT --features data/features
    python -m scripts.report_features --synthetic planted_edge --days 60

The page is one file, readable without a network and without scripts.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_pipeline.errors import InputError
from features.config import BarParameters
from features.store.config import BarsConfig
from scripts.cli import run

if TYPE_CHECKING:
    from data_pipeline.schema import BarArrays
    from evaluation.feature_study import Column
    from features.store.sources import Source


@dataclass(frozen=True)
class Args:
    """Which features of which bars, over which horizons."""

    bars: Annotated[BarsConfig, tyro.conf.arg(name="")] = field(default_factory=BarsConfig)
    """The bars of one symbol."""
    synthetic: Literal["no_edge", "planted_edge"] | None = None
    """A synthetic market instead of bars."""
    days: int = 60
    """Days of the synthetic market."""
    select: tuple[str, ...] = ()
    """Features, families or presets; all that the bars can give, when left out."""
    windows: BarParameters = field(default_factory=BarParameters)
    """Windows of the features; the interval is set to that of the bars."""
    features: Path | None = None
    """A feature store to read from, brought up to date first; computed in memory, when left out."""
    horizons: tuple[int, ...] = (1, 5, 15, 60)
    """Bars ahead, from the next open."""
    round_trip_bps: float = 10.0
    """Cost of getting in and out, to compare with; two taker fees of a perpetual, when left out."""
    flips: int = 9999
    """Random sign flips behind the adjusted p-values; the smallest one is 1 / (flips + 1)."""
    seed: int = 0
    """Seed of the flips and of the synthetic market."""
    out: Path = Path("features.html")
    """The page."""


def main(args: Args) -> int:
    """Write the page and print its first sentence."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from data_pipeline.schema import INTERVAL_MS
    from evaluation.feature_report import FeatureReport, write_feature_report
    from evaluation.feature_study import study_features
    from features.catalogue import select_features
    from features.store.feature_set import bars_digest
    from features.store.sources import one_source

    console = Console()
    if min(args.horizons, default=0) < 1 or args.flips < 1:
        raise InputError(
            f"horizons {args.horizons} and flips {args.flips} must be 1 or more", where="report", remedy="change them"
        )
    source = one_source(args.bars, args.synthetic, args.days, args.seed)
    windows = replace(args.windows, interval_ms=INTERVAL_MS[source.series.interval])
    bars = source.read()
    if len(bars) == 0:
        raise InputError("there are no bars", where=str(source.series), remedy="give a range that holds some")
    names, column = columns(args, source, bars, windows)
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=console, disable=not console.is_terminal) as display:
        task = display.add_task("studying features", total=len(names))
        study = study_features(
            bars,
            column,
            select_features(names, windows),
            symbol=source.series.symbol,
            interval_ms=windows.interval_ms,
            horizons=args.horizons,
            flips=args.flips,
            seed=args.seed,
            progress=lambda _name: display.advance(task),
        )
    provenance = {
        "series": source.series,
        "bars": f"{len(bars):,}, digest {bars_digest(bars)}",
        "horizons": args.horizons,
        "sign flips": f"{args.flips}, seed {args.seed}",
        **{f"window {name}": value for name, value in asdict(windows).items()},
    }
    report = FeatureReport(study, provenance, args.round_trip_bps, args.synthetic)
    console.print(report.sentence, soft_wrap=True, highlight=False)
    console.print(f"written: {write_feature_report(report, args.out)}", soft_wrap=True, highlight=False)
    return 0


def columns(args: Args, source: Source, bars: BarArrays, windows: Any) -> tuple[tuple[str, ...], Column]:
    """Names of the features, and where their values come from: the store, one column at a time, or memory."""
    from features.batch import compute_features
    from features.store.build import Request, build
    from features.store.feature_set import feature_set
    from features.store.reader import FeatureStore
    from features.store.sources import lacking_fields

    wanted = args.select or None
    if args.features is None:
        names = feature_set(wanted, windows, int(bars.open_time_ms[0]), lacking=lacking_fields(bars)).names
        rows = dict(zip(names, compute_features(bars, names, windows).T, strict=True))
        return names, rows.__getitem__
    features = build(args.features, [source], Request(wanted, windows))[0].features
    series = source.series
    store = FeatureStore(args.features, venue=series.venue, interval=series.interval, key=features.key)
    first, last = int(bars.open_time_ms[0]), int(bars.open_time_ms[-1])

    def column(name: str) -> Any:
        return store.read(series.symbol, first, last + 1, [name])[name].to_numpy()

    return features.names, column


def main_cli() -> int:
    """Entry point of `python -m scripts.report_features`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
