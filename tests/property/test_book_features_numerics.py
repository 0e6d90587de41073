"""What quote and book features do at the edges: extreme prices and sizes, missing sides, stillness, long histories."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import compute_features
from features.book.catalogue import BOOK_FIELDS, LEVELS
from features.catalogue import feature_names
from features.config import BookParameters, QuoteParameters
from features.events import Events
from features.quotes.catalogue import QUOTE_FIELDS
from features.stream import FeatureStream
from tests.book_tools import as_events, synthetic_books

QUOTE = QuoteParameters(short=8, long=30, fast_ms=50, slow_ms=400, microprice_refit=25)
BOOK = BookParameters(short=8, long=30, component_half_life=4)
BOUNDED = ("imbalance", "balance", "net_add", "near_depth", "convexity", "autocorrelation", "abnormal", "last_mid_move")
PRICES = st.sampled_from([1e-8, 1e-3, 1.0, 99.99, 1e6])
SIZES = st.sampled_from([1e-12, 1e-8, 1.0, 1e9, 1e15])


def odd_columns(rng: np.random.Generator, count: int, levels: int, price: float, size: float) -> np.ndarray:
    """Books (4 · levels, T), each side prices and sizes: still, jumping, one-sided, crossed, with absurd levels."""
    mid = price * np.exp(np.clip(np.cumsum(rng.choice([0.0, 0.0, 1e-6, 0.1], count) * rng.normal(0, 1, count)), -5, 5))
    gap = price * rng.choice([-1e-3, 0.0, 1e-9, 1e-4, 0.3], count)
    columns = np.empty((4 * levels, count))
    for side, sign in enumerate((-1.0, 1.0)):
        steps = np.cumsum(mid * rng.choice([1e-7, 1e-4, 0.05], (levels, count)), axis=0)
        prices = mid + sign * (0.5 * np.minimum(gap, mid) + steps)
        sizes = size * rng.lognormal(0.0, rng.choice([0.0, 3.0]), (levels, count))
        sizes[rng.random((levels, count)) < 0.1] = 0.0
        sizes[rng.random((levels, count)) < 0.02] = np.nan
        prices[rng.random((levels, count)) < 0.02] = rng.choice([np.nan, np.inf, -9_999_999_999.0])
        sizes[:, rng.random(count) < 0.05] = 0.0
        columns[2 * levels * side : 2 * levels * (side + 1) : 2] = prices
        columns[2 * levels * side + 1 : 2 * levels * (side + 1) : 2] = sizes
    return columns


def odd_events(seed: int, kind: str, price: float, size: float) -> Events:
    rng = np.random.default_rng(seed)
    levels, fields = (1, QUOTE_FIELDS) if kind == "quotes" else (LEVELS, BOOK_FIELDS)
    columns = odd_columns(rng, 300, levels, price, size)
    waits = rng.choice([0, 1, 1_000_000, 20_000_000_000], 300)
    return as_events(1_700_000_000_000_000_000 + np.cumsum(waits), fields, columns)


@pytest.mark.parametrize("kind", ["quotes", "book"])
@given(seed=st.integers(0, 2**32 - 1), price=PRICES, size=SIZES)
@settings(max_examples=60, deadline=None)
def test_any_valid_events_give_finite_bounded_rows(kind: str, seed: int, price: float, size: float) -> None:
    parameters = QUOTE if kind == "quotes" else BOOK
    X = compute_features(odd_events(seed, kind, price, size), None, parameters, kind)
    names = feature_names(None, parameters, kind)
    warm = X[~np.isnan(X).all(axis=1)]
    assert len(warm) > 100
    assert np.isfinite(warm).all(), [n for n, bad in zip(names, ~np.isfinite(warm).all(0), strict=True) if bad]
    for name, column in zip(names, warm.T, strict=True):
        if any(word in name for word in BOUNDED):
            assert np.abs(column).max() <= 1.0 + 1e-12, name
        if "entropy" in name:
            assert 0.0 <= column.min() <= column.max() <= 1.0 + 1e-12, name


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e6])
def test_quotes_that_stand_still_give_the_documented_values(price: float) -> None:
    """A second between quotes: the rates count them, everything that needs a change is 0."""
    columns = np.tile(np.array([price, 2.0, price * 1.001, 2.0])[:, None], 1_500)
    quotes = as_events(1_000_000_000 * np.arange(1_500), QUOTE_FIELDS, columns)
    X = compute_features(quotes, kind="quotes")[1_000:]
    spread = 1e4 * 0.001 / 1.0005
    rate = {ms: 1 / (ms / 1e3 * (1 - math.exp(-1e3 / ms))) for ms in (1_000, 10_000)}
    known = {"spread_bps": spread, **{f"quote_rate_{ms}ms": value for ms, value in rate.items()}}
    for name, column in zip(feature_names(None, None, "quotes"), X.T, strict=True):
        if name == "time_since_move":
            np.testing.assert_allclose(column, np.log1p(1e3 * np.arange(1_000, 1_500)), rtol=1e-14)
        else:
            np.testing.assert_allclose(column, known.get(name, 0.0), rtol=1e-9, err_msg=name)


def test_books_that_stand_still_give_the_documented_values() -> None:
    books = synthetic_books(1, seed=0, odd=False)
    columns = np.tile(np.stack([books.columns[name] for name in BOOK_FIELDS]), 700)
    columns[1] = 0.1  # a best queue that no float represents: its mean is not itself
    X = compute_features(as_events(10**9 * np.arange(700), BOOK_FIELDS, columns), kind="book")[400:]
    np.testing.assert_allclose(X - X[0], 0.0, atol=1e-14)
    still = ("mid_", "mlofi", "integrated", "add", "removal", "resilience", "near_depth")
    for name, value in zip(feature_names(None, None, "book"), X[0], strict=True):
        assert (abs(value) < 1e-14) == any(word in name for word in still), name


@pytest.mark.parametrize("kind", ["quotes", "book"])
@pytest.mark.parametrize(("price", "size"), [(2.0**-30, 1.0), (2.0**10, 2.0**-20), (1.0, 2.0**30)])
def test_units_of_price_and_quantity_do_not_matter(kind: str, price: float, size: float) -> None:
    """Apart from `ofi`, which is a quantity, and the sweep, whose order is in units of both."""
    books = synthetic_books(1_300, seed=3)
    fields = QUOTE_FIELDS if kind == "quotes" else BOOK_FIELDS
    source = ("bid1_px", "bid1_sz", "ask1_px", "ask1_sz") if kind == "quotes" else BOOK_FIELDS
    columns = np.stack([books.columns[name] for name in source])
    scaled = columns * np.where([name.endswith("px") for name in fields], price, size)[:, None]
    parameters = QUOTE if kind == "quotes" else BOOK
    other = (
        QUOTE
        if kind == "quotes"
        else BookParameters(short=8, long=30, component_half_life=4, sweep_notional=1e5 * price * size)
    )
    X = compute_features(as_events(books.time_ns, fields, columns), None, parameters, kind)
    Y = compute_features(as_events(books.time_ns, fields, scaled), None, other, kind)
    keep = [i for i, name in enumerate(feature_names(None, parameters, kind)) if name != "ofi"]
    np.testing.assert_allclose(Y[:, keep], X[:, keep], rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_quotes_after_a_long_history_are_those_of_a_fresh_start() -> None:
    """500,000 quotes, the first of them a trillion times larger, against the last 25,000 (eight minutes) alone."""
    rng = np.random.default_rng(4)
    count, tail = 500_000, 3_000
    bid = 1_000 + np.cumsum(rng.choice((-1, 0, 0, 0, 1), count))
    sizes = np.exp(rng.normal(0, 2, (2, count)))
    sizes[:, :100_000] *= 1e12
    columns = np.stack([0.01 * bid + 1_000, sizes[0], 0.01 * (bid + rng.choice((1, 1, 2), count)) + 1_000, sizes[1]])
    quotes = as_events(np.cumsum(rng.choice((0, 5_000_000, 50_000_000), count)), QUOTE_FIELDS, columns)
    names = [name for name in feature_names(None, None, "quotes") if name != "microprice_bps"]
    late = compute_features(quotes, names, kind="quotes")[-tail:]
    fresh = compute_features(quotes.slice(count - 25_000, count), names, kind="quotes")[-tail:]
    np.testing.assert_allclose(late, fresh, rtol=1e-9, atol=1e-9)
    assert FeatureStream(names, kind="quotes").warmup < tail
