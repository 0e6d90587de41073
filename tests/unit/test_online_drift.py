"""How often the drift detectors cry wolf, and how soon they see a wolf: figures that `supervised.online.drift` states.

SYNTHETIC markets, and forecasts made from the truth, so that nothing has to be trained.
"""

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market
from features.labels import fixed_horizon
from supervised.ensemble import log_losses
from supervised.online.config import DriftKind
from supervised.online.drift import DriftMonitor

HORIZONS = (1, 5)
KINDS: tuple[DriftKind, ...] = ("adwin", "page_hinkley")


def losses(
    seed: int,
    rows: int,
    *,
    setting: str = "planted_edge",
    sharpen: float = 1.0,
    noise: float = 0.0,
    flip: int | None = None,
) -> np.ndarray:
    """Of each row, the mean loss of the labels that end at it: what a learner's detector is given.

    The forecast's logit is the true one times `sharpen`, with `noise` on top; from `flip` on the market is another and
    the forecast still that of the first.
    """
    market = synthetic_market(SyntheticConfig(setting=setting, edge_strength=0.3, bars=rows, seed=seed, flip_bar=flip))  # type: ignore[arg-type]
    bars, random = market.arrays(), np.random.default_rng(seed)
    total, count = np.zeros(rows), np.zeros(rows)
    for horizon in HORIZONS:
        truth = market.best_probability(horizon)
        logit = sharpen * np.log(truth / (1 - truth)) + noise * random.standard_normal(rows)
        if flip is not None:
            logit[flip:] *= -1
        labels = fixed_horizon(bars, horizon)
        lost = log_losses(1 / (1 + np.exp(-logit))[:, None], labels.values)[:, 0]
        known = labels.valid & (lost > 0)
        np.add.at(total, labels.t1[known], lost[known])
        np.add.at(count, labels.t1[known], 1)
    return total[count > 0] / count[count > 0]


def alarms(kind: DriftKind, values: np.ndarray) -> list[int]:
    """Where they were."""
    monitor = DriftMonitor(kind)
    return [row for row, value in enumerate(values.tolist()) if monitor.update(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_false_alarms_are_as_rare_as_stated(kind: DriftKind) -> None:
    rows = 100_000
    true, rough, nothing = (
        np.mean([len(alarms(kind, losses(seed, rows, **forecast))) for seed in (10, 11)]) * 10_000 / rows  # type: ignore[arg-type]
        for forecast in ({}, {"sharpen": 1.5, "noise": 0.3}, {"setting": "no_edge", "noise": 0.4})
    )
    assert 0.5 < true < 2.0
    assert rough < 4.0
    assert nothing == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_of_the_edge_is_seen_within_a_thousand_rows(kind: DriftKind) -> None:
    for seed in range(10, 14):
        found = alarms(kind, losses(seed, 7_000, flip=5_000))
        assert any(5_000 <= row < 6_000 for row in found), seed
