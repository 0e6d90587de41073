"""Every level-2 feature against a slow transcription of its formula, the main component against scikit-learn."""

import numpy as np
import pytest

from features.batch import compute_features
from features.book.catalogue import book_catalogue
from features.book.component import first_component
from features.catalogue import feature_names
from features.config import BookParameters
from features.events import Events
from tests.book_reference import Past, ladders, references
from tests.book_tools import RECORDED, assert_rows_match, lobster_books, recorded_books, synthetic_books

PARAMETERS = {
    "default": BookParameters(),
    "other": BookParameters(short=9, long=31, near_bps=(2.5,), sweep_notional=317.0, component_half_life=5),
}


def check(events: Events, parameters: BookParameters, step: int) -> None:
    formulas = references(parameters)
    assert_rows_match("book", events, parameters, step, ladders, formulas, Past, tolerance=1e-6)


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_feature_of_the_catalogue_has_a_reference(key: str) -> None:
    assert tuple(references(PARAMETERS[key])) == feature_names(None, PARAMETERS[key], "book")


@pytest.mark.parametrize(("key", "count", "step"), [("default", 2_100, 97), ("other", 900, 41)])
def test_synthetic_rows_match_the_formulas(key: str, count: int, step: int) -> None:
    check(synthetic_books(count, seed=5), PARAMETERS[key], step)


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
    check(books.slice(0, 1_500), BookParameters(), 149)


@pytest.mark.parametrize("ratio", [0.1, 0.9, 0.99])
def test_the_component_is_the_leading_eigenvector(ratio: float) -> None:
    """The second eigenvalue `ratio` times the first; what it leaves behind is as small as `SQUARINGS` promises."""
    columns = np.random.default_rng(0).standard_normal((10, 10))
    against = np.where(np.arange(10) == 3, 2.0, -1.0)  # its largest loading against the sum of all
    for first in (columns[:, 0], against):
        basis = np.linalg.qr(np.column_stack((first, columns[:, 1:])))[0]
        products = basis @ np.diag([1.0, ratio, *[0.5 * ratio] * 8]) @ basis.T
        w = basis[:, 0] * np.sign(basis[:, 0].sum())
        found = first_component(products)
        np.testing.assert_allclose(found, w / np.abs(w).sum(), atol=4e-5)
        assert np.abs(found).sum() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_array_equal(first_component(np.zeros((10, 10))), np.full(10, 0.1))
