"""Look for look-ahead: in every feature of the catalogue, or in a function of your own. Example:

    python -m scripts.audit_features
    python -m scripts.audit_features --kind bars --select core --bars BTCUSDT-1m-2026-03.zip --normalise
    python -m scripts.audit_features --function mypackage.signals:momentum --acts-at open

Your function takes bars (`data_pipeline.schema.BarArrays`; of another --kind what its `FeatureStream` takes) and
returns one row per bar, or (known_at, rows) with the time, in the unit of the key, at which each of its rows is known.
Three audits: on the first n rows alone, with everything after row n changed, and with everything changed or taken away
that had not been received at some moment. Exit code 1 says that a row knew more than it should.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_pipeline.errors import InputError
from scripts.cli import run

if TYPE_CHECKING:
    from features.audit.suite import Finding


RECORDED = ("trades", "quotes", "book")
"""Kinds that a file of recorded events holds as they are."""


@dataclass(frozen=True)
class Args:
    """What to audit, and on which input."""

    kind: tuple[str, ...] = ()
    """Kinds of input: bars, cross, trades, quotes, book, tape. All when left out; with --function bars."""
    select: tuple[str, ...] = ()
    """Features, families or presets; all that the input can give, when left out."""
    function: str | None = None
    """Your own function instead of the catalogue, as package.module:name."""
    acts_at: Literal["close", "open"] = "close"
    """When a row of your function is used: known at the close of its bar (a feature), or acted on at its open (a
    position, an order), where it must not know its own bar."""
    bars: Path | None = None
    """File of bars (Parquet, CSV, zip); SYNTHETIC ones when left out."""
    leader: Path | None = None
    """File of the leader's bars, for the kind cross."""
    events: Path | None = None
    """Parquet file of recorded trades, quotes or books, for the one --kind; SYNTHETIC ones when left out."""
    interval: str = "1m"
    """Interval of the bars in the file."""
    rows: int | None = None
    """Rows to use, from the first on; by default twice the longest warm-up, and at least 3000."""
    normalise: bool = False
    """Audit the features as the online normaliser gives them."""
    cuts: int = 12
    """Places at which the future is cut off or changed."""
    seed: int = 0
    """Draws of the changes."""


def main(args: Args) -> int:
    """Print what was found; 1 when a row knew more than it should."""
    from data_pipeline.schema import INTERVAL_MS
    from features.audit.suite import audit_catalogue, audit_function
    from features.catalogue import KINDS
    from features.config import NormaliserConfig

    kinds = args.kind or (("bars",) if args.function else tuple(KINDS))
    check(args, kinds, tuple(KINDS))
    interval_ms = INTERVAL_MS[args.interval]
    shared = {"interval_ms": interval_ms, "cuts": args.cuts, "seed": args.seed}
    findings: list[Finding] = []
    for kind in kinds:
        series = load_series(args, kind)
        if args.function:
            function = load_function(args.function)
            findings += audit_function(function, series, kind, subject=args.function, acts_at=args.acts_at, **shared)
        else:
            normaliser = NormaliserConfig() if args.normalise else None
            findings += audit_catalogue(kind, series, args.select or None, normaliser=normaliser, **shared)
    return report(findings)


def check(args: Args, kinds: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise InputError for options that do not fit together."""
    from data_pipeline.schema import INTERVAL_MS

    def refuse(what: str, where: str, remedy: str) -> None:
        raise InputError(what, where=where, remedy=remedy)

    for kind in kinds:
        if kind not in known:
            refuse(f"kind {kind!r} is unknown", "--kind", f"there are {' '.join(known)}")
    if args.function and len(kinds) > 1:
        refuse("a function takes one kind of input", "--kind", "name one")
    if args.events and (len(kinds) != 1 or kinds[0] not in RECORDED):
        refuse("one file of events holds one kind", "--events", f"name it by --kind: {', '.join(RECORDED)}")
    if args.bars and "cross" in kinds and not args.leader:
        refuse("the leader's bars are missing", "--leader", "give them, or leave the kind cross out")
    if args.interval not in INTERVAL_MS:
        refuse(f"interval {args.interval!r} is unknown", "--interval", f"use one of {' '.join(INTERVAL_MS)}")
    if args.cuts < 1:
        refuse(f"{args.cuts} cuts", "--cuts", "use 1 or more")
    if args.rows is not None and args.rows < 100:
        refuse(f"{args.rows} rows are too few", "--rows", "use 100 or more")


def load_series(args: Args, kind: str) -> Any:
    """The input of one kind, from its file or synthetic, cut to the rows to use."""
    from data_pipeline.readers import read_bars
    from data_pipeline.schema import bar_arrays
    from features.audit.samples import sample_series
    from features.catalogue import select_features
    from features.cross.pairs import align_bars

    warmup = 0 if args.function else max(spec.warmup for spec in select_features(args.select or None, None, kind))
    rows = args.rows or max(3_000, 2 * warmup)
    series: Any
    if kind in ("bars", "cross") and args.bars:
        series = bar_arrays(read_bars(args.bars, interval=args.interval))
        if kind == "cross" and args.leader:
            series = align_bars(series, bar_arrays(read_bars(args.leader, interval=args.interval)))
    elif kind in RECORDED and args.events:
        import pyarrow.parquet as pq

        from features.events import read_events

        try:
            series = read_events(pq.read_table(args.events), kind)
        except OSError as error:  # pyarrow's own errors about damaged files are of this kind too
            raise InputError(f"it cannot be read ({error})", where=str(args.events), remedy="give a Parquet") from error
    else:
        return sample_series(kind, rows, args.seed)
    return series.slice(0, min(rows, len(series)))


def load_function(place: str) -> Callable[[Any], Any]:
    """The function that `package.module:name` names. Raises InputError when there is none."""
    module, _, name = place.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = "give package.module:name, importable from here"
        raise InputError(f"{place!r} is not there ({error})", where="--function", remedy=remedy) from error
    if not callable(function):
        raise InputError(f"{place!r} is no function", where="--function", remedy="give package.module:name")

    def guarded(series: Any) -> Any:
        try:
            return function(series)
        except Exception as error:
            what = f"it raised {type(error).__name__}: {error}"
            raise InputError(what, where=f"{place} on {len(series)} rows", remedy="mend it") from error

    return guarded


def report(findings: list[Finding]) -> int:
    """Print the table and every leak; the exit code. Raises InputError where nothing could be compared."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title="look-ahead audit", title_justify="left")
    for column in ("subject", "audit", "cuts", "values held equal", "values that moved after", "in flight", "verdict"):
        table.add_column(column, justify="left" if column in ("subject", "audit", "verdict") else "right")
    for finding in findings:
        seen = finding.report
        moved = "" if finding.audit == "truncation" else f"{seen.responded:,}"
        flight = f"{seen.in_flight:,}" if finding.audit == "delay" else ""
        verdict = "clean" if seen.clean else f"LEAK at {len(seen.leaks)} of {seen.cuts}"
        table.add_row(finding.subject, finding.audit, str(seen.cuts), f"{seen.compared:,}", moved, flight, verdict)
    console.print(table, highlight=False, markup=False)
    leaks = [finding for finding in findings if not finding.report.clean]
    for finding in leaks:
        console.print(f"{finding.subject}, {finding.audit}: {finding.leak_text()}", highlight=False, markup=False)
    for finding in findings:
        if finding.report.clean and not finding.report.compared:
            what = "every row before a cut is NaN, so nothing was compared"
            raise InputError(what, where=finding.subject, remedy="use more --rows than the warm-up")
    return 1 if leaks else 0


def main_cli() -> int:
    """Entry point of `python -m scripts.audit_features`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
