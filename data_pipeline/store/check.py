"""What a store holds, whether it is whole, and what is odd in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_pipeline.quality import QualityReport, quality_report
from data_pipeline.schema import iso_time
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.layout import TRADES, Series, Span, merge, subtract
from data_pipeline.store.ledger import Gap, Ledger
from data_pipeline.store.parts import is_intact


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """One series: what is covered, what is missing and known to be, what is missing and unknown, what is damaged."""

    series: Series
    covered: list[Span]
    gaps: list[Gap]
    holes: list[Span]
    """Spans between the first and the last covered moment that were never fetched."""
    damaged: list[str]
    """Parts that are gone or not what was sealed."""
    quality: QualityReport | None
    """None for trades, for a damaged series, and where there is no row."""

    @property
    def sound(self) -> bool:
        """Whole and undamaged; accepted gaps are no fault."""
        return not self.holes and not self.damaged

    def lines(self) -> list[str]:
        """The check for a terminal."""
        out = [f"{self.series}"]
        out += [
            f"  DAMAGED {path}: run python -m scripts.download to set it aside and fetch it again"
            for path in self.damaged
        ]
        out += [f"  never fetched: {iso_time(start)} to {iso_time(stop)}" for start, stop in self.holes]
        for gap in self.gaps:
            sure = "" if gap.confirmed else ", NOT confirmed by the exchange yet"
            out.append(f"  gap: {iso_time(gap.start_ms)} to {iso_time(gap.stop_ms)} ({gap.evidence}{sure})")
        if self.quality is not None:
            out += [f"  {line}" for line in self.quality.lines()]
        return out


def check_store(root: Path) -> list[SeriesCheck]:
    """Check every series: hashes of all parts, coverage, accepted gaps, quality of the bars. Changes nothing."""
    ledger = Ledger(root, write=False)
    try:
        return [_check(root, ledger, series) for series in ledger.series()]
    finally:
        ledger.close()


def _check(root: Path, ledger: Ledger, series: Series) -> SeriesCheck:
    covered = merge(ledger.coverage(series))
    damaged = [part.path for part in ledger.parts(series) if not is_intact(root, part)]
    holes = subtract((covered[0][0], covered[-1][1]), covered) if covered else []
    quality = None
    if series.interval != TRADES and not damaged:
        with BarStore(root, venue=series.venue, interval=series.interval) as store:
            table = store.read(series.symbol)
        if table.num_rows:
            quality = quality_report(table, series.interval_ms)
    return SeriesCheck(series, covered, _joined(ledger.gaps(series)), holes, damaged, quality)


def _joined(gaps: list[Gap]) -> list[Gap]:
    """Gaps that touch, as pages found them, told as one."""
    out: list[Gap] = []
    for gap in gaps:
        last = out[-1] if out else None
        if last is not None and (last.stop_ms, last.evidence, last.confirmed) == (
            gap.start_ms,
            gap.evidence,
            gap.confirmed,
        ):
            out[-1] = Gap(last.start_ms, gap.stop_ms, min(last.reads, gap.reads), gap.evidence, gap.confirmed)
        else:
            out.append(gap)
    return out
