"""The feature page: what features look like, whether they hold still, which say the same, which know anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation import formats
from evaluation.feature_figures import correlation_map, correlation_scale, drift_cell, histogram_cell
from evaluation.feature_shape import LEVELS, SHIFTED
from evaluation.feature_study import LEVEL, FeatureStudy, Power
from evaluation.page import render_page, write_page
from evaluation.svg import interval_cell

SHOWN = 20
"""Features whose power is shown at once; the rest unfolds."""


class Shift(NamedTuple):
    """The period in which a feature moved most."""

    feature: int
    psi: float
    period: str
    mean_shift: float
    deviation_ratio: float


@dataclass(frozen=True, eq=False)
class FeatureReport:
    """Everything on the page."""

    study: FeatureStudy
    provenance: Mapping[str, Any]
    """Facts to show: files, digests, windows, versions."""
    round_trip_bps: float
    """What a market round trip costs, to compare spreads with."""
    synthetic: str | None = None
    """Which synthetic market the bars are of, None for real ones."""

    @property
    def sentence(self) -> str:
        """What survives, plainly."""
        study = self.study
        count, horizons = len(study.specs), _listed([f"{h}" for h in study.horizons], "or")
        unit = "bar" if study.horizons == (1,) else "bars"
        if not study.tests:
            return (
                f"Nothing can be said: {study.blocks.count} blocks of {study.blocks.bars:,} bars are too few to tell "
                f"knowledge from chance over {horizons} {unit}."
            )
        alive = study.survivors
        if not alive:
            return (
                f"Nothing survives: none of {count} features ranks the returns over the next {horizons} {unit} better "
                f"than chance would, with {study.tests} chances to."
            )
        verb = "feature ranks" if len(alive) == 1 else "features rank"
        most = "" if len(alive) == 1 else "most clearly "
        return f"{len(alive)} of {count} {verb} coming returns better than chance, {most}{self._told(alive[0])}."

    @property
    def earned(self) -> tuple[float, int, int]:
        """The most that a survivor's extreme tenths would have earned a trade before costs, in bps, long on one side,
        short on the other, as its IC says: (bps, feature, horizon). (NaN, -1, -1) without survivors."""
        study = self.study
        found = [
            (math.copysign(0.5, power.ic.value) * power.spread_bps, k, horizon)
            for k in study.survivors
            for horizon, power in zip(study.horizons, study.powers[k], strict=True)
            if power.survives
        ]
        return max(found, default=(math.nan, -1, -1))

    @property
    def level(self) -> str:
        """How the verdict is coloured."""
        if not self.study.survivors:
            return "none" if self.study.tests else "too_little"
        return "evidence" if self.earned[0] > self.round_trip_bps else "too_little"

    @property
    def remarks(self) -> list[str]:
        """What else has to be said about the survivors: how many things they say, and what that would be worth."""
        alive, study = self.study.survivors, self.study
        if not alive:
            return []
        groups = sum(any(k in alive for k in group) for group in study.groups.members)
        others = [] if groups == len(alive) else [f"The {len(alive)} say {groups} different things (see Kinship)."]
        bps, feature, horizon = self.earned
        name, span, cost = study.specs[feature].name, formats.counted(horizon, "bar"), f"{self.round_trip_bps:g} bps"
        worth = (
            f"The most that trading the extreme tenths of one would have earned is {bps:.1f} bps a trade before costs "
        )
        worth += f"({name}, {span}), " + ("more than" if bps > self.round_trip_bps else "less than")
        worth += f" the {cost} of a round trip."
        return [*others, f"{worth} All of this is in sample: it has still to hold on days it was not found on."]

    def _told(self, feature: int) -> str:
        ic = self.study.best(feature).ic.value
        horizon = self.study.horizons[self.study.best_horizon(feature)]
        return f"{self.study.specs[feature].name} (IC {formats.signed(ic, 3)} over {formats.counted(horizon, 'bar')})"

    @property
    def shifted(self) -> int:
        """Features of which some period counts as another distribution than all before it."""
        return sum(drift.worst > SHIFTED for drift in self.study.drifts)

    @property
    def unstable(self) -> list[Shift]:
        """Every feature's worst period, the least stable feature first; those that cannot be judged last."""
        rows = []
        for k, drift in enumerate(self.study.drifts):
            known = np.isfinite(drift.psi).any()
            at = int(np.nanargmax(drift.psi)) if known else 0
            period = self.study.periods.names[at] if known else "–"
            numbers = (float(drift.mean_shift[at]), float(drift.deviation_ratio[at]))
            rows.append(Shift(k, drift.worst, period, *numbers))
        return sorted(rows, key=lambda row: math.inf if math.isnan(row.psi) else -row.psi)

    @property
    def ranking(self) -> list[int]:
        """Features, survivors first, then by the size of their largest IC."""
        rest = [k for k in range(len(self.study.specs)) if k not in self.study.survivors]
        size = {k: abs(self.study.best(k).ic.value) for k in rest}
        return [
            *self.study.survivors,
            *sorted(rest, key=lambda k: -size[k] if math.isfinite(size[k]) else 1.0),
        ]

    @property
    def reach(self) -> float:
        """Largest |IC| at the end of an interval: the axis of all cells."""
        ends = [abs(v) for row in self.study.powers for p in row for v in (p.ic.low, p.ic.high) if math.isfinite(v)]
        return max(ends, default=0.1)


def write_feature_report(report: FeatureReport, path: Path) -> Path:
    """Write the page to `path`, whole or not at all, and return `path`."""
    return write_page(render_feature_report(report), path)


def render_feature_report(report: FeatureReport) -> str:
    """The page as text: one self-contained HTML document."""
    return render_page(
        "features.html",
        FILTERS,
        report=report,
        study=report.study,
        map=Markup(correlation_map(report.study)),
        scale=Markup(correlation_scale()),
        shown=SHOWN,
        level=LEVEL,
        levels=LEVELS,
    )


def _listed(words: list[str], last: str) -> str:
    """ "a", "a or b", "a, b or c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _power_cell(power: Power, reach: float) -> Markup:
    ic = power.ic
    return Markup(interval_cell(ic.value, ic.low, ic.high, (-reach, reach), 0.0, "" if power.survives else "weak"))


def _number(value: float, scale: float) -> str:
    """A number to two digits of its `scale`, what it usually varies by."""
    if not math.isfinite(value) or scale == 0.0 or 1e-3 <= scale < 1e5:
        digits = 1 - math.floor(math.log10(scale)) if scale > 0.0 else 2
        return formats.plain(value, min(max(digits, 0), 4))
    return f"{value:.1e}".replace("-", "−")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "histogram_cell": lambda shape: Markup(histogram_cell(shape)),
    "drift_cell": lambda drift: Markup(drift_cell(drift)),
    "power_cell": _power_cell,
    "number": _number,
}
