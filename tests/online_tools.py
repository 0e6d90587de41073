"""A fold without training, rows and labels for tests of learning that goes on: feature 0 tells the direction."""

import numpy as np
import torch

from data_pipeline.schema import segments
from features.scaling import Scaler
from supervised.config import EnsembleConfig, ModelConfig, ModelKind, TrainConfig, WalkForwardConfig
from supervised.fold_store import TrainedFold
from supervised.meta import Ensemble
from supervised.models import build_model
from supervised.online.run import LabelArrays
from supervised.predictions import Predictions
from supervised.splits import Fold

FEATURES = ("signal", "realised_volatility_60", "noise")
HORIZONS = (1, 3)
MINUTE_MS = 60_000


def untrained_fold(kinds: tuple[ModelKind, ...] = ("tcn",), *, head_sd: float = 0.0) -> TrainedFold:
    """Models as they are built; with `head_sd` their heads say something."""
    settings = tuple(ModelConfig(kind, hidden=8, window=8, min_context=4) for kind in kinds)
    config = WalkForwardConfig(horizons=HORIZONS, models=settings, train=TrainConfig(chunk=1, batch=1))
    models = {
        kind: build_model(model, len(FEATURES), config.layout).eval()
        for kind, model in zip(kinds, settings, strict=True)
    }
    for model in models.values():
        torch.nn.init.normal_(model.head.weight, std=head_sd, generator=torch.Generator().manual_seed(1))
    nothing = Predictions(
        values=np.empty((0, len(HORIZONS) * len(kinds)), dtype=np.float32),
        columns=tuple(f"p_up_{kind}_h{horizon}" for horizon in HORIZONS for kind in kinds),
        fold=np.empty(0, dtype=np.int16),
        train_cut_ms=np.zeros(1, dtype=np.int64),
        open_time_ms=np.empty(0, dtype=np.int64),
    )
    scaler = Scaler(np.zeros(len(FEATURES)), np.ones(len(FEATURES)))
    return TrainedFold(Fold(0, 0, 0, 0, 0, 0), config, FEATURES, scaler, models, {}, nothing)


def fresh_ensemble(fold: TrainedFold) -> Ensemble:
    """Nothing learned yet."""
    return Ensemble.start(EnsembleConfig(half_life=300), HORIZONS, tuple(fold.models), FEATURES)


def rows(
    count: int, seed: int, *, flip: int | None = None, strength: float = 1.5
) -> tuple[np.ndarray, LabelArrays, np.ndarray]:
    """X (T, 3), labels and segments: two gaps, some incomplete rows; from `flip` on the sign is the other one."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 3))
    X[count // 3] = np.nan
    sign = np.where(np.arange(count) < (count if flip is None else flip), 1.0, -1.0)
    horizons = np.array(HORIZONS)
    up = random.random((count, 2)) < 1 / (1 + np.exp(-strength * np.nan_to_num(X[:, :1]) * sign[:, None]))
    y = np.where(up, 4.0, -4.0)
    times = np.arange(count) * MINUTE_MS
    times[count // 2 :] += 7 * MINUTE_MS
    stretches = segments(times.astype(np.int64), MINUTE_MS)
    t1 = np.arange(count)[:, None] + 1 + horizons
    for start, stop in stretches:
        y[start:stop][t1[start:stop] >= stop] = np.nan
    return X, LabelArrays(y, t1), stretches
