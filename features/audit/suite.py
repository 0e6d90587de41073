"""All audits in one go, of the catalogue or of a user's function; what `python -m scripts.audit_features` prints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from features.audit.delay import audit_delay
from features.audit.report import AuditReport, Leak
from features.audit.rows import ActsAt, audit_perturbation, audit_truncation
from features.batch import available_features, compute_features
from features.catalogue import KINDS, select_features
from features.config import NormaliserConfig


@dataclass(frozen=True, slots=True)
class Finding:
    """One audit of one subject."""

    subject: str
    audit: str
    report: AuditReport
    columns: tuple[str, ...]
    """Names of the columns; empty where nobody said."""

    def leak_text(self) -> str:
        """The first leak in words, with the columns' names; '' for a clean report."""
        if self.report.clean:
            return ""
        leak: Leak = self.report.leaks[0]
        named = [self.columns[j] if j < len(self.columns) else str(j) for j in leak.columns]
        shown = ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")
        since = f"the moment {leak.cut}" if leak.kind == "delay" else f"row {leak.cut}"
        return f"what came after {since} changed row {leak.row}: column {shown}"


def audit_catalogue(
    kind: str,
    series: Any,
    names: tuple[str, ...] | None = None,
    *,
    interval_ms: int = 60_000,
    cuts: int = 12,
    seed: int = 0,
    normaliser: NormaliserConfig | None = None,
) -> list[Finding]:
    """Truncation, perturbation and delay of the selected features (all that the series can give when None).

    Raises InputError for an unknown name, or a series no longer than the warm-up, where there is nothing to compare.
    """
    parameters = KINDS[kind].parameters(interval_ms=interval_ms) if _has_bars(kind) else None
    chosen = available_features(series, names, parameters, kind)

    def compute(part: Any) -> np.ndarray:
        return compute_features(part, chosen, parameters, kind, normaliser)

    warmup = max(spec.warmup for spec in select_features(chosen, parameters, kind))
    first = warmup + (normaliser.min_rows if normaliser else 0)
    if len(series) < first + 10:
        raise InputError(
            f"{len(series)} rows are too few for a warm-up of {first}", where=f"{kind} audit", remedy="give more rows"
        )
    subject = f"{kind}: {len(chosen)} features" + (", normalised" if normaliser else "")
    return _audit_rows(subject, kind, compute, series, first, interval_ms, cuts, seed, "close", chosen)


def audit_function(
    function: Callable[[Any], Any],
    series: Any,
    kind: str = "bars",
    *,
    subject: str = "function",
    interval_ms: int = 60_000,
    cuts: int = 12,
    seed: int = 0,
    acts_at: ActsAt = "close",
) -> list[Finding]:
    """The audits that fit what `function` returns for a series of the kind.

    An array with one row per bar or event goes through truncation and perturbation (with `acts_at`) and, where rows are
    known when their bar or event is, delay. A tuple (known_at, rows), times in the kind's unit, goes through delay.
    """
    result = function(series)
    if isinstance(result, tuple):
        sent_at, known_at = clocks(kind, series, interval_ms)
        report = audit_delay(function, series, sent_at, known_at, cuts, seed)
        return [Finding(subject, "delay", report, ())]
    return _audit_rows(subject, kind, function, series, 0, interval_ms, cuts, seed, acts_at, ())


def clocks(kind: str, series: Any, interval_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """When each row began to exist and when it was known here, int64 (T,) each, in the unit of the kind's key.

    A clock that was set back does not make an event known before the one ahead of it (`features.sampling`).
    """
    if _has_bars(kind):
        return series.open_time_ms, series.open_time_ms + interval_ms
    return series.time_ns, np.maximum.accumulate(series.local_time_ns)


def _has_bars(kind: str) -> bool:
    return KINDS[kind].time_field == "open_time_ms"


def _audit_rows(
    subject: str,
    kind: str,
    compute: Callable[[Any], np.ndarray],
    series: Any,
    warmup: int,
    interval_ms: int,
    cuts: int,
    seed: int,
    acts_at: ActsAt,
    columns: tuple[str, ...],
) -> list[Finding]:
    """Every audit of a function that gives one row per row of the series."""

    def timed(part: Any) -> tuple[np.ndarray, np.ndarray]:
        return clocks(kind, part, interval_ms)[1], compute(part)

    at = cut_rows(len(series), warmup, cuts)
    findings = [
        Finding(subject, "truncation", audit_truncation(compute, series, at), columns),
        Finding(subject, "perturbation", audit_perturbation(compute, series, at, seed, acts_at), columns),
    ]
    if acts_at == "close":
        sent_at, known_at = clocks(kind, series, interval_ms)
        report = audit_delay(timed, series, sent_at, known_at, cuts, seed)
        findings.append(Finding(subject, "delay", report, columns))
    return findings


def cut_rows(total: int, warmup: int, count: int) -> list[int]:
    """Where to cut: once inside the warm-up, where values filled backwards would show, then all over what follows."""
    inside = warmup // 2 or total // 50  # of a function whose warm-up nobody knows: rather early
    after = np.linspace(min(warmup + 2, total - 1) if warmup else total // 10, total - 1, max(count - 1, 1))
    return sorted({max(inside, 1), *after.astype(int).tolist()})
