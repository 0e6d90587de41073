"""Feature matrices of whole histories: the stream of `features.stream`, run over all of them at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.catalogue import KINDS, select_features
from features.config import NormaliserConfig
from features.stream import FeatureStream


def available_features(
    events: Any, names: Sequence[str] | None = None, parameters: Any = None, kind: str = "bars"
) -> tuple[str, ...]:
    """Those of the features that `names` selects (all of the kind when None) which this source can give, in its order.

    A feature is left out when the source lacks a field that it reads: one NaN anywhere makes a field count as lacking,
    since a column that is only sometimes there cannot be told from a market that fell silent.
    """
    lacking = {name for name in KINDS[kind].optional if np.isnan(getattr(events, name)).any()}
    specs = select_features(names, parameters, kind)
    return tuple(spec.name for spec in specs if not lacking.intersection(spec.inputs))


def compute_features(
    events: Any,
    names: Sequence[str] | None = None,
    parameters: Any = None,
    kind: str = "bars",
    normaliser: NormaliserConfig | None = None,
) -> np.ndarray:
    """Features of each row, float64 (T, F), row t from input rows up to and including t.

    `events` holds the kind's key and fields as attributes (`BarArrays` for bars). Columns are what `names` selects, in
    its order, or `available_features(events)` when None. Leading rows of each contiguous stretch, as many as the
    longest warm-up of the columns, are NaN in every column; all other values are finite. A `normaliser` turns them into
    z-scores by what was known up to each row, and leaves its own first rows NaN as well (`features.normalisation`).

    Raises InputError for an unknown name, a named feature whose field this source lacks, rows out of order, or numbers
    that cannot be (prices that are not a bar, say), naming the row.
    """
    chosen = available_features(events, None, parameters, kind) if names is None else names
    return FeatureStream(chosen, parameters, kind, normaliser).update_many(events)
