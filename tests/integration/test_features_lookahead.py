"""Sentinels: no bar of the future changes a feature, and no feature predicts better than the market allows."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.audit import audit_perturbation, audit_truncation, perturb_future
from features.batch import available_features, compute_features
from features.catalogue import feature_names, select_features
from features.labels import fixed_horizon, triple_barrier
from features.scaling import Scaler
from features.stream import FeatureStream

TRAINING_ROWS = 400

WARMUP = max(spec.warmup for spec in select_features(None))


def scaled_features(bars: BarArrays) -> np.ndarray:
    X = compute_features(bars)
    return Scaler.fit(X, slice(0, TRAINING_ROWS)).transform(X)


def streamed_features(bars: BarArrays) -> np.ndarray:
    return FeatureStream().update_many(bars)


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    table = bar_arrays(synthetic_market(SyntheticConfig(bars=1_501, seed=8)).bars)
    keep = np.arange(1_501) != 700  # one missing minute
    return BarArrays(**{name: np.ascontiguousarray(getattr(table, name)[keep]) for name in BarArrays.__slots__})


@pytest.mark.parametrize("compute", [compute_features, streamed_features, scaled_features])
def test_no_feature_knows_the_future(bars: BarArrays, compute) -> None:
    cuts = [TRAINING_ROWS, *range(TRAINING_ROWS + 1, len(bars), 61)]
    truncation = audit_truncation(compute, bars, cuts)
    perturbation = audit_perturbation(compute, bars, cuts)
    assert truncation.clean, truncation
    assert perturbation.clean, perturbation
    assert perturbation.compared == truncation.compared > 100_000
    assert perturbation.responded > 100_000


def test_every_feature_of_the_bars_answers_to_the_newest_bar(bars: BarArrays) -> None:
    """The audit has power over each column: changing only bars from n on changes row n itself, the clock aside."""
    before = compute_features(bars)
    answered = np.zeros(before.shape[1], dtype=bool)
    for n in range(300, 320):
        answered |= np.abs(before[n] - compute_features(perturb_future(bars, n))[n]) > 1e-3
    deaf = {name for name, yes in zip(feature_names(), answered, strict=True) if not yes}
    assert deaf == {"time_of_day_sin", "time_of_day_cos"}


def test_labels_need_only_the_bars_up_to_t1(bars: BarArrays) -> None:
    whole = (fixed_horizon(bars, 5), triple_barrier(bars, take_profit_bps=15, stop_loss_bps=10, ttl_bars=20))
    for n in (200, 650, 900):
        other = perturb_future(bars, n)
        changed = (fixed_horizon(other, 5), triple_barrier(other, take_profit_bps=15, stop_loss_bps=10, ttl_bars=20))
        for a, b in zip(whole, changed, strict=True):
            known = a.valid & (a.t1 < n)
            assert known.sum() > n - 100
            assert a.values[known].tobytes() == b.values[known].tobytes()
            assert a.t1[known].tobytes() == b.t1[known].tobytes()
            assert (a.values[a.valid & (a.t1 >= n)] != b.values[a.valid & (a.t1 >= n)]).any()


@pytest.mark.parametrize(
    "file",
    ["binance_spot_BTCUSDT_1m_2026-03_04", "binance_um_FILUSDT_1m_2023-2024_14months", "bitfinex_BTCUSD_1m_2017_2018"],
)
def test_no_feature_knows_the_future_on_real_bars(file: str) -> None:
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    bars = bar_arrays(read_bars(Path(root) / "klines" / f"{file}.parquet")).slice(0, 20_000)
    names = available_features(bars)
    X = compute_features(bars, names=names)
    filled = np.flatnonzero(np.isfinite(X).all(axis=1))
    assert len(filled) > 4_000
    assert np.isnan(X[np.setdiff1d(np.arange(len(bars)), filled)]).all()
    cuts = filled[[0, len(filled) // 3, len(filled) // 2, -1]].tolist()

    def compute(b: BarArrays) -> np.ndarray:
        return compute_features(b, names=names)

    for audit in (audit_truncation, audit_perturbation):
        report = audit(compute, bars, cuts)
        assert report.clean, report
        assert report.compared > 10_000
    assert filled[0] >= WARMUP


def correlations(bars: BarArrays) -> tuple[dict[str, float], int]:
    """Of each feature with the return from the next open to the one after, and the number of rows."""
    names = available_features(bars)
    X, labels = compute_features(bars, names=names), fixed_horizon(bars, 1)
    rows = labels.valid & np.isfinite(X).all(axis=1)
    return {name: np.corrcoef(X[rows, j], labels.values[rows])[0, 1] for j, name in enumerate(names)}, int(rows.sum())


def test_nothing_predicts_the_next_bar_where_nothing_can() -> None:
    """38 features at 4.5 standard errors: for normal errors a false alarm in one of 3,800 seeds."""
    table = synthetic_market(SyntheticConfig(setting="no_edge", bars=200_000, seed=1)).bars
    found, rows = correlations(bar_arrays(table))
    assert max(map(abs, found.values())) < 4.5 / np.sqrt(rows), found


def test_taker_flow_shows_the_planted_edge() -> None:
    found, _ = correlations(bar_arrays(synthetic_market(SyntheticConfig(bars=100_000, seed=1)).bars))
    assert max(found, key=lambda name: abs(found[name])).startswith("taker_imbalance")
    assert found["taker_imbalance_ema_5"] > 0.1


def test_real_features_predict_as_little_as_published() -> None:
    """Anything well above 0.02 on a liquid market's next minute is a leak until proven otherwise."""
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    bars = bar_arrays(read_bars(Path(root) / "klines" / "binance_spot_BTCUSDT_1m_2026-03_04.parquet"))
    found, _ = correlations(bars)
    assert abs(found["taker_imbalance"]) < 0.02
    assert max(map(abs, found.values())) < 0.04, found
