"""Every level-2 feature against a slow transcription of its formula, the main component against scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest

from features.batch import compute_features
from features.book.catalogue import book_catalogue
from features.book.component import first_component
from features.catalogue import feature_names
from features.config import BookParameters
from features.events import Events
from features.stream import FeatureStream
from tests.book_reference import Past, ladders, references
from tests.book_tools import RECORDED, lobster_books, recorded_books, stretch_starts, synthetic_books

PARAMETERS = {
    "default": BookParameters(),
    "other": BookParameters(short=9, long=31, near_bps=(2.5,), sweep_notional=317.0, component_half_life=5),
}


def assert_rows_match(books: Events, parameters: BookParameters, step: int) -> None:
    """Compare every `step`-th warm row of each stretch, and the first ones."""
    names = feature_names(None, parameters, "book")
    X = compute_features(books, parameters=parameters, kind="book")
    formulas = references(parameters)
    warmup = FeatureStream(parameters=parameters, kind="book").warmup
    starts = np.append(np.unique(stretch_starts(books, parameters.max_silence_ms)), len(books))
    compared = 0
    for start, stop in pairwise(starts):
        stretch = ladders(books, start, stop)
        offset = stop - len(stretch)  # books before the first with both sides give no row
        assert np.isnan(X[start : offset + warmup]).all()
        assert np.isfinite(X[offset + warmup : stop]).all()
        for i in [*range(warmup, min(warmup + 2, len(stretch))), *range(warmup + 5, len(stretch), step)]:
            past = Past(stretch[: i + 1], parameters)
            expected = np.array([formulas[name](past) for name in names])
            np.testing.assert_allclose(X[offset + i], expected, rtol=1e-6, atol=1e-7, err_msg=f"row {i}: {names}")
            compared += 1
    assert compared > 8


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "book")


@pytest.mark.parametrize(("key", "count", "step"), [("default", 2_100, 97), ("other", 900, 41)])
def test_synthetic_rows_match_the_formulas(key: str, count: int, step: int) -> None:
    assert_rows_match(synthetic_books(count, seed=5), PARAMETERS[key], step)


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_feature_is_defined_from_its_own_warmup_on(key: str) -> None:
    parameters = PARAMETERS[key]
    formulas = references(parameters)
    books = synthetic_books(12 * parameters.short + 2 * parameters.long, seed=6, silences=0, odd=False)
    stretch = ladders(books, 0, len(books))
    for spec in book_catalogue(parameters):
        X = compute_features(books, [spec.name], parameters, "book")[:, 0]
        assert np.isnan(X[: spec.warmup]).all()
        expected = formulas[spec.name](Past(stretch[: spec.warmup + 1], parameters))
        assert X[spec.warmup] == pytest.approx(expected, rel=1e-6, abs=1e-7), spec.name


@pytest.mark.parametrize("market", [*RECORDED, "lobster"])
def test_recorded_rows_match_the_formulas(market: str) -> None:
    books = lobster_books() if market == "lobster" else recorded_books(market)
    assert_rows_match(books.slice(0, 1_500), BookParameters(), 149)


@pytest.mark.parametrize("ratio", [0.1, 0.9, 0.99])
def test_the_component_is_the_leading_eigenvector(ratio: float) -> None:
    """The second eigenvalue `ratio` times the first; what it leaves behind is as small as `SQUARINGS` promises."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    products = basis @ np.diag([1.0, ratio, *[0.5 * ratio] * 8]) @ basis.T
    w = basis[:, 0] * np.sign(basis[:, 0].sum())
    found = first_component(products)
    np.testing.assert_allclose(found, w / np.abs(w).sum(), atol=4e-5)
    assert np.abs(found).sum() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_array_equal(first_component(np.zeros((10, 10))), np.full(10, 0.1))
