"""Every kind's catalogue in one place, and how features are chosen from it: by name, by family or by preset.

Imports nothing heavy: listing the features needs no compiler.
"""

from collections.abc import Sequence
from typing import Any

from data_pipeline.errors import InputError
from features.bars.catalogue import BARS
from features.book.catalogue import BOOK
from features.cross.catalogue import CROSS
from features.quotes.catalogue import QUOTES
from features.spec import FeatureSpec, Kind
from features.tape.catalogue import TAPE
from features.trades.catalogue import TRADES

KINDS: dict[str, Kind] = {kind.name: kind for kind in (BARS, QUOTES, BOOK, TRADES, TAPE, CROSS)}

CORE = ("returns", "candle", "trend", "volatility", "dependence", "flow", "activity", "liquidity", "time")
PRESETS: dict[str, dict[str, tuple[str, ...]]] = {
    "bars": {"core": CORE, "broad": (*CORE, "channel", "moments", "ranges", "pressure", "turnover", "calendar")},
}
"""Named selections of each kind: families and feature names. `core` is what the experiment's models and policies see;
`broad` has more than a hundred features, warm after two hours of minutes, at half the cost of the whole catalogue."""


def catalogue(kind: str = "bars", parameters: Any = None) -> tuple[FeatureSpec, ...]:
    """Every feature of the kind, in the order of the columns; default parameters when None."""
    about = KINDS[kind]
    return about.catalogue(about.parameters() if parameters is None else parameters)


def feature_names(names: Sequence[str] | None = None, parameters: Any = None, kind: str = "bars") -> tuple[str, ...]:
    """Names of the selected features, all of the kind when None; see `select_features`."""
    return tuple(spec.name for spec in select_features(names, parameters, kind))


def select_features(
    names: Sequence[str] | None = None, parameters: Any = None, kind: str = "bars"
) -> list[FeatureSpec]:
    """Specs of what `names` asks for, in the order asked for; the whole catalogue when None.

    Each of `names` is a feature, a family, a preset, or the kind itself for all of it; what an earlier one brought is
    not repeated.

    Raises InputError for nothing at all, for a name that is none of these, or for one given twice.
    """
    specs = catalogue(kind, parameters)
    if names is None:
        return list(specs)
    where = "feature names"
    if not names:
        raise InputError("no feature is named", where=where, remedy="name at least one, or pass None for all")
    chosen: dict[str, FeatureSpec] = {}
    for name in names:
        if list(names).count(name) > 1:
            raise InputError(f"{name!r} is given twice", where=where, remedy="name each feature once")
        found = [spec for item in PRESETS.get(kind, {}).get(name, (name,)) for spec in _matches(item, kind, specs)]
        if not found:
            raise InputError(f"{name!r} is unknown", where=where, remedy="see docs/features.md for the catalogue")
        chosen |= {spec.name: spec for spec in found if spec.name not in chosen}
    return list(chosen.values())


def _matches(item: str, kind: str, specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    return [spec for spec in specs if item in (spec.name, spec.family, kind)]
