"""What is odd in bars that are valid: gaps, dead stretches, outliers, sizes that contradict the prices.

Nothing here changes a bar. Missing minutes are counted and listed, never filled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.ndimage import median_filter

from data_pipeline.schema import OPTIONAL_COLUMNS, BarArrays, bar_arrays, iso_time, segments

FROZEN_BARS = 10  # shorter stretches without any price movement are common in a quiet market
OUTLIER_SIGMAS = 30.0  # in robust standard deviations (1.4826 MAD); heavy tails alone reach about 20
VWAP_TOLERANCE = 1e-6  # relative: archives round quote volume to 4-8 decimals
LOCAL_BARS = 61  # window of the running medians, an hour around the bar
UNFINISHED_VOLUME = 0.1  # a bar recorded before its end lacks most of its volume ...
UNFINISHED_JUMP = 0.25  # ... and the next open jumps away from its close, measured in running medians of the range
UNFINISHED_QUANTILE = 0.999  # ... further than all but the widest jumps of the same file
LISTED = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of oddity: `spans` int64 (K, 3) rows of start ms, end ms (exclusive), bars, in order of time."""

    name: str
    meaning: str
    spans: np.ndarray

    @property
    def bars(self) -> int:
        """Bars concerned, over all spans."""
        return int(self.spans[:, 2].sum())

    def longest(self, count: int = LISTED) -> list[tuple[int, int, int]]:
        """The longest spans, longest first; of equal ones the earlier first."""
        order = np.argsort(-self.spans[:, 2], kind="stable")[:count]
        return [(int(start), int(end), int(bars)) for start, end, bars in self.spans[order]]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What `quality_report` found. `findings` holds every check that the columns allow, empty ones included."""

    symbol: str
    synthetic: bool
    interval_ms: int
    rows: int
    first_ms: int
    last_ms: int
    not_given: tuple[str, ...]
    findings: tuple[Finding, ...]

    def finding(self, name: str) -> Finding:
        """The finding called `name` (KeyError when that check could not be made)."""
        return {finding.name: finding for finding in self.findings}[name]

    @property
    def missing_share(self) -> float:
        """Missing bars over all bars that the time span should hold."""
        missing = self.finding("gap").bars
        return missing / (missing + self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Of each finding the counts and the longest spans."""
        return {
            "symbol": self.symbol,
            "synthetic": self.synthetic,
            "interval_ms": self.interval_ms,
            "rows": self.rows,
            "first": iso_time(self.first_ms),
            "last": iso_time(self.last_ms),
            "missing_share": self.missing_share,
            "not_given": list(self.not_given),
            "findings": {
                finding.name: {
                    "meaning": finding.meaning,
                    "bars": finding.bars,
                    "spans": len(finding.spans),
                    "longest": [
                        {"start": iso_time(start), "end": iso_time(end), "bars": bars}
                        for start, end, bars in finding.longest()
                    ],
                }
                for finding in self.findings
            },
        }

    def lines(self) -> list[str]:
        """The report for a terminal, one line for each check that found something."""
        label = "SYNTHETIC " if self.synthetic else ""
        out = [
            f"{label}{self.symbol}: {self.rows:,} bars of {self.interval_ms // 1000} s, "
            f"{iso_time(self.first_ms)} to {iso_time(self.last_ms)}, {100 * self.missing_share:.2f} % missing"
        ]
        for finding in self.findings:
            if finding.bars:
                start, _, bars = finding.longest(1)[0]
                times = "once" if len(finding.spans) == 1 else f"in {len(finding.spans):,} places"
                out.append(f"  {finding.meaning}: {finding.bars:,} bars {times}; longest {bars:,} at {iso_time(start)}")
        if self.not_given:
            out.append(f"  not given by the source: {', '.join(self.not_given)}")
        return out


def quality_report(table: pa.Table, interval_ms: int = 60_000) -> QualityReport:
    """Check a validated table of `BAR_SCHEMA` (see `validate_bars`) for what is allowed but suspicious. O(T).

    Checks: missing bars; bars without volume; at least 10 bars in a row without any price movement; returns beyond 30
    robust standard deviations; quote volume / volume outside [low, high]; taker-buy above total volume; bars that
    look as if recorded before their end (a tenth of the usual volume, then an open far from the close).
    """
    bars = bar_arrays(table)
    times = bars.open_time_ms
    metadata = table.schema.metadata or {}
    masks: list[tuple[str, str, np.ndarray]] = [
        ("zero_volume", "no volume", bars.volume == 0.0),
        ("outlier", f"return beyond {OUTLIER_SIGMAS:.0f} robust sigmas", _outliers(bars, interval_ms)),
        ("unfinished", "suspected unfinished bar", _unfinished(bars, interval_ms)),
    ]
    if table["quote_volume"].null_count < len(bars):
        masks.append(("vwap_outside", "average price outside [low, high]", _vwap_outside(bars)))
    if table["taker_buy_volume"].null_count < len(bars):
        above = bars.taker_buy_volume > bars.volume
        masks.append(("taker_above_volume", "taker-buy volume above volume", above))
    gap = Finding("gap", "missing", _gaps(times, interval_ms))
    frozen = Finding("frozen_price", f"price frozen for {FROZEN_BARS} bars or more", _frozen(bars, interval_ms))
    rest = tuple(Finding(name, meaning, _spans(mask, times, interval_ms)) for name, meaning, mask in masks)
    return QualityReport(
        symbol=metadata.get(b"symbol", b"unknown").decode(),
        synthetic=metadata.get(b"synthetic") == b"true",
        interval_ms=interval_ms,
        rows=len(bars),
        first_ms=int(times[0]),
        last_ms=int(times[-1]),
        not_given=tuple(name for name in OPTIONAL_COLUMNS if table[name].null_count == len(bars)),
        findings=(gap, frozen, *rest),
    )


def _gaps(times: np.ndarray, interval_ms: int) -> np.ndarray:
    before = np.flatnonzero(np.diff(times) != interval_ms)
    start, end = times[before] + interval_ms, times[before + 1]
    return np.stack((start, end, (end - start) // interval_ms), axis=1)


def _spans(mask: np.ndarray, times: np.ndarray, interval_ms: int) -> np.ndarray:
    """Unbroken runs of True on an unbroken time axis, as int64 (K, 3) of start ms, end ms, bars."""
    chosen = times[mask]
    runs = segments(chosen, interval_ms)
    if len(runs) == 0:
        return np.empty((0, 3), dtype=np.int64)
    first, last = chosen[runs[:, 0]], chosen[runs[:, 1] - 1]
    return np.stack((first, last + interval_ms, runs[:, 1] - runs[:, 0]), axis=1)


def _follows(times: np.ndarray, interval_ms: int) -> np.ndarray:
    """bool (T - 1,): row t + 1 opens right after row t."""
    return np.diff(times) == interval_ms


def _frozen(bars: BarArrays, interval_ms: int) -> np.ndarray:
    still = bars.high == bars.low
    still[1:] &= bars.close[1:] == bars.close[:-1]
    spans = _spans(still, bars.open_time_ms, interval_ms)
    return spans[spans[:, 2] >= FROZEN_BARS]


def _outliers(bars: BarArrays, interval_ms: int) -> np.ndarray:
    follows = _follows(bars.open_time_ms, interval_ms)
    returns = np.log(bars.close[1:] / bars.close[:-1])
    mask = np.zeros(len(bars), dtype=bool)
    if follows.any():
        centre = np.median(returns[follows])
        spread = 1.4826 * np.median(np.abs(returns[follows] - centre))
        if spread > 0:
            mask[1:] = follows & (np.abs(returns - centre) > OUTLIER_SIGMAS * spread)
    return mask


def _vwap_outside(bars: BarArrays) -> np.ndarray:
    low, high = bars.low * (1.0 - VWAP_TOLERANCE), bars.high * (1.0 + VWAP_TOLERANCE)
    traded = bars.volume > 0.0
    return traded & ((bars.quote_volume < low * bars.volume) | (bars.quote_volume > high * bars.volume))


def _unfinished(bars: BarArrays, interval_ms: int) -> np.ndarray:
    mask = np.zeros(len(bars), dtype=bool)
    if len(bars) < LOCAL_BARS:
        return mask
    usual_volume = median_filter(bars.volume, LOCAL_BARS, mode="nearest")
    usual_range = median_filter(np.log(bars.high / bars.low), LOCAL_BARS, mode="nearest")[:-1]
    known = _follows(bars.open_time_ms, interval_ms) & (usual_range > 0.0)
    jump = np.divide(
        np.abs(np.log(bars.open[1:] / bars.close[:-1])), usual_range, out=np.zeros(len(bars) - 1), where=known
    )
    if known.any():
        far = max(UNFINISHED_JUMP, float(np.quantile(jump[known], UNFINISHED_QUANTILE)))
        mask[:-1] = (jump > far) & (bars.volume[:-1] < UNFINISHED_VOLUME * usual_volume[:-1])
    return mask
