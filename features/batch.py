"""Feature matrices of whole bar histories: the stream of `features.stream`, run over all of them at once."""

from collections.abc import Sequence

import numpy as np

from data_pipeline.schema import BarArrays
from features.catalogue import DEFAULT_PARAMETERS, OPTIONAL_FIELDS, bar_catalogue
from features.config import BarParameters
from features.stream import FeatureStream


def available_features(bars: BarArrays, parameters: BarParameters = DEFAULT_PARAMETERS) -> tuple[str, ...]:
    """Names of the features that these bars can give, in the order of the catalogue.

    A feature is left out when the source lacks a field that it reads: one NaN anywhere makes a field count as lacking,
    since a column that is only sometimes there cannot be told from a market that fell silent.
    """
    lacking = {name for name in OPTIONAL_FIELDS if np.isnan(getattr(bars, name)).any()}
    return tuple(spec.name for spec in bar_catalogue(parameters) if not lacking.intersection(spec.inputs))


def compute_features(
    bars: BarArrays,
    interval_ms: int = 60_000,
    *,
    names: Sequence[str] | None = None,
    parameters: BarParameters = DEFAULT_PARAMETERS,
) -> np.ndarray:
    """Features of each bar, float64 (T, F), row t from bars up to and including t, known at the close of bar t.

    Columns are `names` in their order, or `available_features(bars)` when None. The first `WARMUP` rows, and as many
    after each gap, are NaN in every column; all other values are finite.

    Raises InputError for an unknown name, a named feature whose field these bars lack, bars out of order, or prices
    that are not a bar, naming the row.
    """
    chosen = available_features(bars, parameters) if names is None else names
    return FeatureStream(chosen, interval_ms, parameters).update_many(bars)
