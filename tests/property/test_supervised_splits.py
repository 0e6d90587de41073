"""Folds tile the future, and no label that reaches past a cut is ever trained on."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from supervised.config import TrainConfig, WalkForwardConfig
from supervised.splits import last_end, plan_folds, purge


@given(
    rows=st.integers(400, 5000),
    folds=st.integers(1, 6),
    first=st.floats(0.3, 0.7),
    rolling=st.sampled_from([0, 100, 1000]),
    embargo=st.integers(0, 20),
)
def test_folds_tile_the_rows_after_the_first_training_span(
    rows: int, folds: int, first: float, rolling: int, embargo: int
) -> None:
    config = WalkForwardConfig(folds=folds, first_train_fraction=first, rolling_rows=rolling, embargo_rows=embargo)
    plan = plan_folds(rows, config)
    assert [fold.number for fold in plan] == list(range(folds))
    assert plan[0].start == int(rows * first)
    assert plan[-1].stop == rows
    assert all(one.stop == other.start for one, other in pairwise(plan))
    for fold in plan:
        assert 0 <= fold.train_start < fold.validation_start < fold.cut == fold.start - embargo
        assert fold.train_start == (max(0, fold.cut - rolling) if rolling else 0)


def test_too_few_rows_for_the_folds_are_refused() -> None:
    with pytest.raises(InputError, match="do not make fold 0"):
        plan_folds(100, WalkForwardConfig(first_train_fraction=0.4, embargo_rows=60))
    with pytest.raises(InputError, match="do not make fold"):
        plan_folds(10, WalkForwardConfig(folds=20, embargo_rows=0, train=TrainConfig(validation_fraction=0.5)))


@given(
    reach=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    start=st.integers(0, 30),
    cut=st.integers(0, 70),
    seed=st.integers(0, 100),
)
def test_purge_keeps_exactly_the_labels_that_end_before_the_cut(
    reach: list[int], start: int, cut: int, seed: int
) -> None:
    t1 = (np.arange(len(reach)) + reach)[:, None]
    y = np.random.default_rng(seed).normal(size=t1.shape).astype(np.float32)
    y[np.random.default_rng(seed).random(t1.shape) < 0.2] = np.nan
    kept = purge(y, t1, start, cut)
    for row in range(len(reach)):
        if row >= start and row + reach[row] < cut:
            np.testing.assert_array_equal(kept[row], y[row])
        else:
            assert np.isnan(kept[row])
    if np.isfinite(kept).any():
        assert last_end(t1, kept) < cut
