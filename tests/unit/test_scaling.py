"""The scaler: training rows only, honest about constants, refuses to guess."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from features.scaling import CHUNK_ROWS, Scaler


@pytest.fixture
def X() -> np.ndarray:
    X = np.random.default_rng(0).normal((3.0, -1e6, 1e-9), (2.0, 10.0, 1e-10), (1_000, 3))
    X[:61] = np.nan
    return X


@pytest.mark.parametrize("kind", ["mask", "numbers", "slice"])
def test_only_training_rows_count(X: np.ndarray, kind: str) -> None:
    stop = 600
    rows = {"mask": np.arange(1_000) < stop, "numbers": np.arange(stop), "slice": slice(0, stop)}[kind]
    scaler = Scaler.fit(X, rows)
    np.testing.assert_allclose(scaler.mean, X[61:stop].mean(axis=0))
    np.testing.assert_allclose(scaler.std, X[61:stop].std(axis=0))
    later = X.copy()
    later[stop:] = 1e9
    again = Scaler.fit(later, rows)
    assert again.mean.tobytes() == scaler.mean.tobytes()
    assert again.std.tobytes() == scaler.std.tobytes()


def test_transform_centres_scales_clips_and_keeps_nan(X: np.ndarray) -> None:
    scaler = Scaler.fit(X, slice(0, 1_000), clip=2.0)
    X[500] = np.inf, -np.inf, np.nan
    Z = scaler.transform(X)
    assert Z.dtype == np.float32
    assert Z.flags.c_contiguous
    assert np.isnan(Z[:61]).all()
    assert Z[500, :2].tolist() == [2.0, -2.0]
    assert np.isnan(Z[500, 2])
    expected = np.clip((X[61:] - scaler.mean) / scaler.std, -2, 2)
    np.testing.assert_array_equal(Z[61:], expected.astype(np.float32))


def test_default_clip_is_eight() -> None:
    column = np.concatenate((np.zeros(999), [1.0]))[:, None]
    assert Scaler.fit(column, slice(None)).transform(column).max() == 8.0


def test_a_constant_column_becomes_zeros_also_where_it_moves_later() -> None:
    """0.1 ten times does not average to 0.1: a computed std of 1e-17 would blow the column up."""
    X = np.full((30, 1), 0.1)
    X[20:] = 5.0
    scaler = Scaler.fit(X, slice(0, 20))
    assert scaler.std[0] == 0.0
    assert (scaler.transform(X) == 0.0).all()


def test_long_matrices_are_done_in_parts_without_a_seam() -> None:
    X = np.random.default_rng(1).normal(size=(CHUNK_ROWS + 10, 2))
    scaler = Scaler.fit(X, slice(0, 100))
    assert scaler.transform(X)[-20:].tobytes() == scaler.transform(X[-20:]).tobytes()


def test_fit_refuses_what_it_cannot_learn_from(X: np.ndarray) -> None:
    for rows in (slice(0, 0), np.zeros(1_000, dtype=bool), np.array([], dtype=np.int64)):
        with pytest.raises(InputError, match="no training rows"):
            Scaler.fit(X, rows)
    with pytest.raises(InputError, match=r"column 0: no training row has a value"):
        Scaler.fit(X, slice(0, 61))
    X[100, 2] = np.inf
    with pytest.raises(InputError, match=r"column 2: a training row is infinite"):
        Scaler.fit(X, slice(0, 500))
    with pytest.raises(InputError, match="clip 0"):
        Scaler.fit(X, slice(0, 500), clip=0.0)
    with pytest.raises(InputError, match="1 dimensions"):
        Scaler.fit(X[:, 0], slice(0, 500))


def test_transform_refuses_other_columns(X: np.ndarray) -> None:
    with pytest.raises(InputError, match="3 columns"):
        Scaler.fit(X, slice(0, 500)).transform(X[:, :2])


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=8), st.floats(0.1, 100))
@settings(deadline=None, max_examples=50)
def test_saving_keeps_every_bit(values: list[float], clip: float) -> None:
    scaler = Scaler(np.array(values), np.abs(values), clip)
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert again.mean.tobytes() == scaler.mean.tobytes()
    assert again.std.tobytes() == scaler.std.tobytes()
    assert again.clip == clip


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"mean": [1.0], "std": [1.0, 2.0], "clip": 8.0},
        {"mean": 1.0, "std": 1.0, "clip": 8.0},
        {"mean": ["x"], "std": [1.0], "clip": 8.0},
    ],
)
def test_damaged_scalers_are_refused(damaged: dict) -> None:
    with pytest.raises(InputError, match="saved scaler"):
        Scaler.from_dict(damaged)


@pytest.mark.parametrize("sizes", [[1000], [61, 1, 400, 538], [10] * 100])
def test_blocks_give_what_all_rows_give_at_once(X: np.ndarray, sizes: list[int]) -> None:
    X = np.c_[X, np.full(len(X), 0.1), np.random.default_rng(1).normal(size=len(X))]
    X[200:500, 4] = np.nan  # whole blocks without a value
    whole = Scaler.fit(X, slice(0, 1000))
    found = Scaler.fit_blocks(np.split(X, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, whole.std, rtol=1e-8)
    assert (found.mean[3], found.std[3]) == (0.1, 0.0)


def test_blocks_without_rows_or_with_strange_ones_are_refused(X: np.ndarray) -> None:
    with pytest.raises(InputError, match="no training rows"):
        Scaler.fit_blocks([])
    with pytest.raises(InputError, match="column 0: no training row has a value"):
        Scaler.fit_blocks([np.c_[X[:61, :1], np.ones(61)]])
    X[100, 2] = np.inf
    with pytest.raises(InputError, match="column 2: a training row is infinite"):
        Scaler.fit_blocks([X[:50], X[50:]])
    with pytest.raises(InputError, match="clip 0"):
        Scaler.fit_blocks([X], clip=0.0)
