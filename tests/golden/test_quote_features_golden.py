"""Every level-1 feature against a slow transcription of its formula, the micro-price against its author's notebook."""

import numpy as np
import pytest

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import QuoteParameters
from features.events import Events
from features.quotes.catalogue import quote_catalogue
from tests.book_tools import RECORDED, assert_rows_match, lobster_quotes, recorded_quotes, synthetic_quotes
from tests.quote_reference import Past, references, touches

PARAMETERS = {
    "default": QuoteParameters(),
    "other": QuoteParameters(
        short=9, long=31, fast_ms=70, slow_ms=900, imbalance_buckets=4, spread_ticks=3, microprice_refit=250
    ),
}


def check(events: Events, parameters: QuoteParameters, step: int) -> None:
    formulas = references(parameters)
    assert_rows_match("quotes", events, parameters, step, touches, formulas, Past, tolerance=1e-8)


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "quotes")


@pytest.mark.parametrize(("key", "count", "step"), [("default", 5_000, 119), ("other", 2_400, 41)])
def test_synthetic_rows_match_the_formulas(key: str, count: int, step: int) -> None:
    check(synthetic_quotes(count, seed=5), PARAMETERS[key], step)


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
    check(quotes.slice(0, 4_000), QuoteParameters(), 157)
