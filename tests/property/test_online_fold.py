"""Models, linear expert and ensemble row by row: causal to the bit, the same alone as in blocks, restored exactly."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervised.config import ModelKind, OnlineConfig
from supervised.devices import torch_threads
from supervised.online.config import LearningConfig
from supervised.online.fold import OnlineFold
from supervised.online.pending import KnownLabel
from supervised.online.run import LabelArrays, OnlineRun, run_online
from supervised.predictions import LeakError
from tests.online_tools import FEATURES, HORIZONS, fresh_ensemble, rows, untrained_fold

KINDS: tuple[ModelKind, ...] = ("tcn", "lstm")
LEARNING = LearningConfig(
    update_every=16, swap_after=2, learning_rate=1e-2, guard_rows=200, replay=OnlineConfig(replay_samples=200)
)
LO = 20


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def go(
    X: np.ndarray, labels: LabelArrays, stretches: np.ndarray, learning: LearningConfig | None = LEARNING
) -> OnlineRun:
    return went(X, labels, stretches, learning)[1]


def went(
    X: np.ndarray,
    labels: LabelArrays,
    stretches: np.ndarray,
    learning: LearningConfig | None = LEARNING,
    *,
    kinds: tuple[ModelKind, ...] = KINDS,
    one_by_one: bool = True,
) -> tuple[OnlineFold, OnlineRun]:
    fold = untrained_fold(kinds, head_sd=0.3)
    online = OnlineFold(fold, fresh_ensemble(fold), learning)
    return online, run_online(online, X, labels, stretches, LO, len(X), one_by_one=one_by_one)


def outputs(run: OnlineRun) -> list[np.ndarray]:
    return [run.serving, run.frozen, run.mixture] + ([] if run.linear is None else [run.linear])


@settings(max_examples=3, deadline=None)
@given(now=st.integers(LO + 40, 108), seed=st.integers(0, 100))
def test_nothing_said_depends_on_what_is_not_known_yet(now: int, seed: int) -> None:
    """Other features after row `now` and other values of every label that ends after it: not a bit differs up to it."""
    X, labels, stretches = rows(110, seed)
    other_X, _, _ = rows(110, seed + 1)
    changed = X.copy()
    changed[now + 1 :] = other_X[now + 1 :]
    y = np.where(labels.t1 > now, -labels.y, labels.y)
    online, before = went(X, labels, stretches)
    after = go(changed, labels._replace(y=y), stretches)
    for one, two in zip(outputs(before), outputs(after), strict=True):
        np.testing.assert_array_equal(one[: now - LO + 1], two[: now - LO + 1])
    assert online.learners["tcn"].counts.updates >= 3


def test_a_planted_leak_is_refused_wherever_it_comes_from() -> None:
    """Labels that claim to end before they can: one row too soon is enough."""
    X, labels, stretches = rows(120, 0)
    with pytest.raises(LeakError, match="cannot end at row"):
        go(X, labels._replace(t1=labels.t1 - 1), stretches)
    fold = untrained_fold(KINDS)
    online = OnlineFold(fold, fresh_ensemble(fold), LEARNING)
    online.step(X[:5], np.array([[0, 5]]), [[]] * 5)
    with pytest.raises(LeakError, match="ends at row 6, the newest is 5"):
        online.step(X[1:6], np.array([[0, 5]]), [[KnownLabel(4, 0, 1.0, 6)]])


def test_rows_in_blocks_say_what_rows_alone_say() -> None:
    """To rounding. An LSTM is left out: in a block it is warmed up with more rows than it is alone."""
    X, labels, stretches = rows(300, 3)
    (one_alone, alone), (one_in_blocks, blocks) = (
        went(X, labels, stretches, kinds=("tcn",), one_by_one=single) for single in (True, False)
    )
    assert one_alone.learners["tcn"].counts == one_in_blocks.learners["tcn"].counts
    for one, two in zip(outputs(alone), outputs(blocks), strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(two))
        np.testing.assert_allclose(one, two, atol=2e-5)
    assert np.nanmax(np.abs(alone.serving - alone.frozen)) > 0.05


@pytest.mark.parametrize("cut", [48, 49, 90])
def test_a_restart_in_the_middle_gives_the_same_bits(cut: int) -> None:
    X, labels, stretches = rows(120, 5)
    fold = untrained_fold(KINDS, head_sd=0.3)
    straight, stopped = (OnlineFold(fold, fresh_ensemble(fold), LEARNING) for _ in range(2))
    feed(straight, X, labels, stretches, 0, 120)
    feed(stopped, X, labels, stretches, 0, cut)
    resumed = OnlineFold(fold, fresh_ensemble(fold), LEARNING)
    resumed.restore(stopped.state())
    feed(resumed, X, labels, stretches, cut, 120)
    wanted, found = straight.state(), resumed.state()
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert straight.learners["lstm"].counts.swaps >= 5


def feed(online: OnlineFold, X: np.ndarray, labels: LabelArrays, stretches: np.ndarray, lo: int, hi: int) -> None:
    """One row after the other, from the first row of the data on."""
    for row in range(lo, hi):
        first = max(row - online.context, 0)
        near = np.clip(stretches, first, row + 1) - first
        known = [
            KnownLabel(int(at), int(column), float(labels.y[at, column]), row)
            for at, column in np.argwhere((labels.t1[:row] == row) & np.isfinite(labels.y[:row]))
        ]
        online.step(X[first : row + 1], near[near[:, 0] < near[:, 1]], [known])


def test_without_learning_it_is_the_fold_and_the_ensemble_as_in_research() -> None:
    X, labels, stretches = rows(300, 7)
    online, run = went(X, labels, stretches, learning=None)
    assert run.linear is None
    assert online.learners == {}
    np.testing.assert_array_equal(run.serving, run.frozen)
    fold = untrained_fold(KINDS, head_sd=0.3)
    ensemble = fresh_ensemble(fold)
    y, t1 = labels.y[LO:], labels.t1[LO:] - LO
    scaled = fold.scaler.transform(X[LO:])
    mixture, _ = ensemble.run(run.frozen, scaled, y, t1)
    np.testing.assert_array_equal(run.mixture, mixture)
    assert online.ensemble.to_dict() == ensemble.to_dict()


def test_the_members_are_the_models_frozen_and_learning_and_the_linear_expert() -> None:
    fold = untrained_fold(KINDS)
    ensemble = fresh_ensemble(fold)
    members = OnlineFold(fold, ensemble, LEARNING).ensemble.members
    assert members == ("tcn", "lstm", "tcn_online", "lstm_online", "linear")
    assert ensemble.members == KINDS
    assert (len(HORIZONS), len(FEATURES)) == (2, 3)
