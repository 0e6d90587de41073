"""Forecasts beside each other: wins are found where they are, chance is not taken for one, and nothing leaks in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.comparison import blocks_of, compare, mean_interval
from evaluation.comparison_runs import shuffle
from evaluation.comparison_sets import Effort, book_feature_names, moves_ahead, next_move, settings

ROWS, OVERLAP = 8000, 5


def market(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels over five rows, P(up) that knows two of the five moves, and P(up) that knows nothing."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_normal(ROWS + OVERLAP)
    label = np.convolve(moves, np.ones(OVERLAP), mode="valid")[:ROWS]
    seen = moves[:ROWS] + moves[1 : ROWS + 1]
    knowing = 1 / (1 + np.exp(-0.9 * seen))
    return label[:, None], knowing[:, None], rng.uniform(0.45, 0.55, (ROWS, 1))


def compared(forecasts, y, **options):
    until = np.arange(len(y))[:, None] + 1 + OVERLAP
    return compare(forecasts, y, until, ["5 rows"], [OVERLAP], baselines=["coin"], flips=999, **options)[0]


def test_knowledge_wins_and_ignorance_does_not():
    y, knowing, blind = market()
    coin = np.full_like(y, 0.5)
    found = compared({"knows": knowing, "blind": blind, "coin": coin}, y, models=["knows", "blind"])
    knows, ignorant = found.contests
    assert (knows.model, knows.baseline, knows.verdict) == ("knows", "coin", "better")
    assert 0 < knows.lead.low < knows.lead.value < knows.lead.high
    assert max(knows.p_value, knows.adjusted) < 0.01
    assert ignorant.verdict != "better"
    score = found.score("knows")
    assert score.accuracy.low > 0.6
    assert score.timing.n == ROWS // OVERLAP
    assert score.timing.p_value < 1e-6
    assert score.log_loss.value == pytest.approx(math.log(2) - knows.lead.value)
    assert found.score("blind").accuracy.low < 0.5 < found.score("blind").accuracy.high


def test_a_worse_model_is_called_worse():
    y, knowing, _ = market()
    found = compared({"wrong": 1 - knowing, "coin": np.full_like(y, 0.5)}, y, models=[], controls=["wrong"])
    assert [contest.verdict for contest in found.contests] == ["worse"]


def test_only_rows_that_all_forecast_are_judged():
    y, knowing, blind = market()
    gone = blind.copy()
    gone[:3000] = np.nan
    y[5000:5100], y[5100:5200] = np.nan, 0.0
    found = compared({"knows": knowing, "coin": gone}, y, models=["knows"])
    assert found.rows == ROWS - 3000 - 200
    assert {score.accuracy.n for score in found.scores} == {found.rows}


def test_too_short_a_stretch_is_left_untested():
    y, knowing, blind = market()
    knowing[60:] = np.nan
    found = compared({"knows": knowing, "coin": blind}, y, models=["knows"])
    assert math.isnan(found.contests[0].adjusted)
    assert found.contests[0].verdict == "–"


def test_family_wise_false_alarms():
    """Six blind models against one coin: in how many of 200 markets is even one called better or worse?"""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = np.convolve(rng.standard_normal(604), np.ones(OVERLAP), mode="valid")[:600, None]
        noise = rng.standard_normal((6, 600, 1))
        forecasts = {f"m{k}": 0.5 + 0.02 * np.sign(part) for k, part in enumerate(noise)}
        until = np.arange(600)[:, None] + 1 + OVERLAP
        options = {"models": [*forecasts], "baselines": ["coin"], "flips": 199}
        result = compare({**forecasts, "coin": np.full((600, 1), 0.5)}, y, until, ["x"], [OVERLAP], **options)[0]
        alarms += any(contest.verdict == "better" for contest in result.contests)
    assert alarms <= 14  # 2.5 % of one side is 5; the binomial's 1 in 10 000 lies at 14


def test_interval_of_overlapping_means_covers_the_truth():
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(400):
        sums = np.cumsum(rng.standard_normal(4059))
        ends = mean_interval(sums[60:] - sums[:-60], 60)
        inside += ends.low <= 0 <= ends.high
    assert 365 <= inside <= 392


def test_blocks_are_equal_spans_longer_than_labels():
    judged = np.zeros(1000, dtype=bool)
    judged[100:900:7] = True
    blocks = blocks_of(judged, 10)
    assert (blocks[:100] == -1).all()
    sizes = np.bincount(blocks[blocks >= 0])
    assert sizes[:-1].tolist() == [30] * (len(sizes) - 1)
    assert 30 <= sizes[-1] < 60


def test_next_move_and_moves_ahead_by_hand():
    mid = np.array([100.0, 100, 101, 101, 100, 100])
    y, ends = next_move(mid)
    assert ends.tolist() == [2, 2, 4, 4, 6, 6]
    assert np.sign(y).tolist()[:4] == [1, 1, -1, -1]
    assert np.isnan(y[4:]).all()
    ahead, rows = moves_ahead(mid, (2,))
    assert ahead[:, 0] == pytest.approx(
        [1e4 * math.log(1.01), 1e4 * math.log(1.01), -1e4 * math.log(1.01)] + [-1e4 * math.log(1.01)] + [math.nan] * 2,
        nan_ok=True,
    )
    assert rows[:, 0].tolist() == [2, 3, 4, 5, 6, 7]


def test_small_sets_get_small_chunks_and_more_passes():
    small, large = (settings(rows, (1,), (80,), Effort()) for rows in (3000, 300_000))
    assert (small.train.chunk, large.train.chunk) == (64, 384)
    assert small.train.epochs > large.train.epochs == 8
    assert small.embargo_rows == 80


def test_shuffling_keeps_the_labels_and_forgets_the_rows():
    y = np.arange(1000, dtype=np.float32)[:, None].repeat(2, axis=1)
    y[::3, 0] = np.nan
    dealt = shuffle(y, 1)
    assert np.array_equal(np.isnan(dealt), np.isnan(y))
    assert np.array_equal(np.sort(dealt[~np.isnan(dealt[:, 0]), 0]), y[~np.isnan(y[:, 0]), 0])
    assert abs(np.corrcoef(dealt[:, 1], y[:, 1])[0, 1]) < 0.1


def test_book_features_name_the_imbalance():
    assert "queue_imbalance" in book_feature_names()
    assert len(set(book_feature_names())) == len(book_feature_names())
