"""Every level-1 feature against a slow transcription of its formula, the micro-price against its author's notebook."""

from itertools import pairwise

import numpy as np
import pytest

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import QuoteParameters
from features.events import Events
from features.quotes.catalogue import quote_catalogue
from features.stream import FeatureStream
from tests.book_tools import RECORDED, lobster_quotes, recorded_quotes, stretch_starts, synthetic_quotes
from tests.quote_reference import Past, references, touches

PARAMETERS = {
    "default": QuoteParameters(),
    "other": QuoteParameters(
        short=9, long=31, fast_ms=70, slow_ms=900, imbalance_buckets=4, spread_ticks=3, microprice_refit=250
    ),
}


def assert_rows_match(quotes: Events, parameters: QuoteParameters, step: int) -> None:
    """Compare every `step`-th warm row of each stretch, and the first ones."""
    names = feature_names(None, parameters, "quotes")
    X = compute_features(quotes, parameters=parameters, kind="quotes")
    formulas = references(parameters)
    warmup = FeatureStream(parameters=parameters, kind="quotes").warmup
    starts = np.append(np.unique(stretch_starts(quotes, parameters.max_silence_ms)), len(quotes))
    compared = 0
    for start, stop in pairwise(starts):
        stretch = touches(quotes, start, stop)
        offset = stop - len(stretch)  # quotes before the first with both sides give no row
        assert np.isnan(X[start : offset + warmup]).all()
        assert np.isfinite(X[offset + warmup : stop]).all()
        for i in [*range(warmup, min(warmup + 2, len(stretch))), *range(warmup + 5, len(stretch), step)]:
            past = Past(stretch[: i + 1], parameters)
            expected = np.array([formulas[name](past) for name in names])
            np.testing.assert_allclose(X[offset + i], expected, rtol=1e-8, atol=1e-8, err_msg=f"row {i}: {names}")
            compared += 1
    assert compared > 15


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "quotes")


@pytest.mark.parametrize(("key", "count", "step"), [("default", 5_000, 119), ("other", 2_400, 41)])
def test_synthetic_rows_match_the_formulas(key: str, count: int, step: int) -> None:
    assert_rows_match(synthetic_quotes(count, seed=5), PARAMETERS[key], step)


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(key: str) -> None:
    parameters = PARAMETERS[key]
    formulas = references(parameters)
    quotes = synthetic_quotes(parameters.microprice_refit + 50, seed=6, silences=0, odd=False)
    stretch = touches(quotes, 0, len(quotes))
    for spec in quote_catalogue(parameters):
        X = compute_features(quotes, [spec.name], parameters, "quotes")[:, 0]
        assert np.isnan(X[: spec.warmup]).all()
        expected = formulas[spec.name](Past(stretch[: spec.warmup + 1], parameters))
        assert X[spec.warmup] == pytest.approx(expected, rel=1e-8, abs=1e-8), spec.name


@pytest.mark.parametrize("market", [*RECORDED, "lobster"])
def test_recorded_rows_match_the_formulas(market: str) -> None:
    quotes = lobster_quotes() if market == "lobster" else recorded_quotes(market)
    assert_rows_match(quotes.slice(0, 4_000), QuoteParameters(), 157)
