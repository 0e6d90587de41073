"""Sentinels against self-deception: the models find an edge that is there, none where there is none, and never look
ahead.

SYNTHETIC bars throughout. The no-edge test raises a false alarm with probability FALSE_ALARM_RATE at most, divided
evenly over all its comparisons (Bonferroni). Each counts hits on labels that do not overlap: there every label is a
fair coin given all that came before (to 1e-4, the drift that makes the price and not its logarithm a martingale),
whatever the model, so that the hits are binomial.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import binomtest

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, segments
from data_pipeline.synthetic import SyntheticMarket, synthetic_market
from features.batch import compute_features
from features.labels import fixed_horizon
from supervised.config import MODEL_KINDS, ModelConfig, TrainConfig, WalkForwardConfig
from supervised.predictions import Predictions
from supervised.walk_forward import walk_forward_predictions

HORIZONS = (1, 5)
MEMBERS = (*MODEL_KINDS, "ensemble")
BARS, SEEDS = 60_000, (11, 12, 13)
FALSE_ALARM_RATE = 1e-3
CONFIG = WalkForwardConfig(horizons=HORIZONS, folds=1, first_train_fraction=0.65)


@dataclass(frozen=True)
class Trial:
    """One market with out-of-sample predictions on its last part."""

    market: SyntheticMarket
    labels: np.ndarray
    """float64 (T, H)"""
    predictions: Predictions

    def hits(self, member: str, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows with a prediction and a label that moved, int64 (N,), and whether the call was right, bool (N,)."""
        p_up = self.predictions.values[:, self.predictions.columns.index(f"p_up_{member}_h{horizon}")]
        label = self.labels[:, HORIZONS.index(horizon)]
        rows = np.flatnonzero(np.isfinite(p_up) & np.isfinite(label) & (label != 0))
        return rows, (p_up[rows] > 0.5) == (label[rows] > 0)

    def chance(self, member: str, horizon: int) -> float:
        """p-value of "no better than a fair coin", on labels that do not overlap: every `horizon`-th row."""
        rows, right = self.hits(member, horizon)
        apart = right[rows % horizon == 0]
        return binomtest(int(apart.sum()), len(apart), 0.5, alternative="greater").pvalue


def predict_bars(bars: BarArrays, config: WalkForwardConfig) -> tuple[np.ndarray, Predictions]:
    labels = [fixed_horizon(bars, horizon) for horizon in config.horizons]
    values = np.stack([label.values for label in labels], axis=1)
    predictions = walk_forward_predictions(
        compute_features(bars, ["core"]),
        values,
        np.stack([label.t1 for label in labels], axis=1),
        segments(bars.open_time_ms, 60_000),
        bars.open_time_ms,
        config,
    )
    return values, predictions


def trials(setting: str) -> list[Trial]:
    made = []
    for seed in SEEDS:
        market = synthetic_market(SyntheticConfig(setting=setting, bars=BARS, seed=seed))
        made.append(Trial(market, *predict_bars(market.arrays(), replace(CONFIG, seed=seed))))
    return made


@pytest.fixture(scope="module")
def planted() -> list[Trial]:
    return trials("planted_edge")


@pytest.mark.slow
def test_each_model_recovers_the_planted_edge(planted: list[Trial]) -> None:
    """At least 85 % of the accuracy that the best possible call gains over a coin, on the same rows, at every seed."""
    for trial in planted:
        for horizon in HORIZONS:
            best_call = trial.market.best_direction(horizon)
            for member in MEMBERS:
                rows, right = trial.hits(member, horizon)
                assert len(rows) > 0.3 * BARS
                best = (best_call[rows] == np.sign(trial.labels[rows, HORIZONS.index(horizon)])).mean()
                recovered = (right.mean() - 0.5) / (best - 0.5)
                assert recovered >= 0.85, (
                    f"{member}, horizon {horizon}, seed {trial.market.config.seed}: {recovered:.3f}"
                )


@pytest.mark.slow
def test_no_model_finds_an_edge_where_there_is_none(planted: list[Trial]) -> None:
    level = FALSE_ALARM_RATE / (len(SEEDS) * len(MEMBERS) * len(HORIZONS))
    for trial in trials("no_edge"):
        for horizon in HORIZONS:
            for member in MEMBERS:
                chance = trial.chance(member, horizon)
                assert chance > level, f"{member}, horizon {horizon}, seed {trial.market.config.seed}: p = {chance:.1e}"
    # The same test sees the planted edge every time: it has the power to fail.
    assert all(trial.chance(member, horizon) < level for trial in planted for member in MEMBERS for horizon in HORIZONS)


@pytest.mark.parametrize("now", [2_950, 3_400, 3_998])
def test_no_future_bar_changes_a_prediction(now: int) -> None:
    """From bars to predictions, with everything after bar `now` replaced by another market's moves."""
    small = tuple(ModelConfig(kind=kind, hidden=8, window=20) for kind in MODEL_KINDS)
    config = WalkForwardConfig(horizons=HORIZONS, models=small, folds=2, train=TrainConfig(epochs=1, chunk=128))
    bars = synthetic_market(SyntheticConfig(bars=4_000, seed=1)).arrays()
    other = synthetic_market(SyntheticConfig(bars=4_000, seed=2)).arrays()
    later = np.arange(len(bars)) > now
    level = bars.close[now] / other.close[now]
    price = {name: level * getattr(other, name) for name in ("open", "high", "low", "close")}
    volume = {name: getattr(other, name) for name in BarArrays.__slots__[5:]}
    changed = replace(
        bars, **{name: np.where(later, value, getattr(bars, name)) for name, value in (price | volume).items()}
    )
    _, before = predict_bars(bars, config)
    _, after = predict_bars(changed, config)
    last_fold = int(np.flatnonzero(before.fold == 1)[0])
    assert now > last_fold  # so that no model was trained on what changed
    np.testing.assert_array_equal(after.values[: now + 1], before.values[: now + 1])
    np.testing.assert_array_equal(after.weights[: now + 1], before.weights[: now + 1])
    assert (after.values[now + 1 :] != before.values[now + 1 :]).any(axis=1).all()
