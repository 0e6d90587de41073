"""Walk-forward predictions: the only way that predictions reach a market.

Each fold's models see labels that ended before the fold began, less an embargo; its scaler sees training rows only.
The predictions of all folds together are out of sample, and so is the ensemble, whose weights at a row come from
labels that ended by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from features.scaling import Scaler
from supervised.base import CausalModel
from supervised.config import WalkForwardConfig
from supervised.dataset import Dataset
from supervised.ensemble import Hedge, run_ensemble
from supervised.fold_store import FoldForecast, TrainedFold, fold_path, further_columns, load_fold, save_fold
from supervised.models import build_model
from supervised.predictions import Predictions
from supervised.splits import Fold, last_end, plan_folds, purge
from supervised.training import Epoch, fit, predict

ENSEMBLE, PREDICTIONS = "ensemble.json", "predictions.parquet"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a walk-forward run stands."""

    fold: int
    folds: int
    model: str
    epochs: int
    """Most passes the model may take."""
    epoch: Epoch


def walk_forward_predictions(
    X: np.ndarray,
    y: np.ndarray,
    t1: np.ndarray,
    segments: np.ndarray,
    open_time_ms: np.ndarray,
    config: WalkForwardConfig,
    *,
    feature_names: tuple[str, ...] = (),
    out_dir: Path | None = None,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Predictions:
    """Train on each fold's past, predict the fold, and weigh the members by what they had got right before each row.

    X: float (T, F) unscaled features, NaN in warm-up. y: float (T, H + K) label returns (bps), one column per
    `config.horizons`, then outcomes (-1, 0, +1), one per `config.brackets`; NaN unknown. t1: int64 (T, H + K), row at
    which each label ends, at its open or inside it. segments: int64 (S, 2), [start, stop) rows without a gap.
    open_time_ms: int64 (T,), increasing. feature_names: names of X's columns, kept with the models.

    With `out_dir` every fold is stored as it is done (`fold_0/`, …), then `predictions.parquet` and `ensemble.json`
    (the state the live ensemble starts from); a run that was killed goes on at the first fold it lacks and ends as it
    would have. `progress` is called after every pass of every model. Raises InputError for arrays that do not fit,
    for too few rows, and for an `out_dir` that holds folds of other data or settings.
    """
    if y.ndim == 2 and y.shape[1] != config.layout.targets:
        raise InputError(
            f"y has {y.shape[1]} columns for horizons {config.horizons} and {len(config.brackets)} brackets",
            where="walk_forward_predictions",
            remedy="give one label column per horizon and one per bracket",
        )
    data = Dataset(X, y.astype(np.float32), t1, segments, open_time_ms)
    target = _device(device)
    out_dir = None if out_dir is None else Path(out_dir)
    config_hash = data.fingerprint(config)

    members = tuple(model.kind for model in config.models)
    shape = (len(X), len(config.horizons), len(members))
    probabilities = np.full(shape, np.nan, dtype=np.float32)
    names = further_columns(config)
    further = np.full((len(X), len(names)), np.nan, dtype=np.float32)
    number = np.full(len(X), -1, dtype=np.int16)
    cuts = []
    for fold in plan_folds(len(X), config):
        if out_dir is not None and fold_path(out_dir, fold.number).exists():
            trained = _stored(out_dir, fold, config_hash)
        else:
            trained = _train_fold(data, fold, config, config_hash, feature_names, target, progress)
            if out_dir is not None:
                save_fold(out_dir, trained)
        probabilities[fold.start : fold.stop] = trained.predictions.values.reshape(-1, *shape[1:])
        further[fold.start : fold.stop] = trained.predictions.further
        number[fold.start : fold.stop] = fold.number
        cuts.append(int(trained.predictions.train_cut_ms[0]))

    hedge = Hedge.start(config.ensemble, config.horizons, members)
    horizons = config.layout.direction
    mixture, weights = run_ensemble(probabilities, y[:, horizons], t1[:, horizons], hedge)
    predictions = Predictions(
        values=np.concatenate([probabilities.reshape(len(X), -1), mixture.astype(np.float32)], axis=1),
        columns=column_names("p_up", config.horizons, members) + column_names("p_up", config.horizons, ("ensemble",)),
        fold=number,
        train_cut_ms=np.array(cuts, dtype=np.int64),
        open_time_ms=open_time_ms,
        config_hash=config_hash,
        weights=weights.reshape(len(X), -1).astype(np.float32),
        weight_columns=column_names("weight", config.horizons, members),
        further=further,
        further_columns=names,
    )
    if out_dir is not None:
        predictions.save(out_dir / PREDICTIONS)
        write_json(out_dir / ENSEMBLE, hedge.to_dict())
    return predictions


def column_names(prefix: str, horizons: tuple[int, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    """`{prefix}_{member}_h{horizon}`, the horizons outermost: the order of an array (H, M) laid flat."""
    return tuple(f"{prefix}_{member}_h{horizon}" for horizon in horizons for member in members)


def load_ensemble(out_dir: Path, config: WalkForwardConfig) -> Hedge:
    """The ensemble as it stood after the last row of the walk-forward run in `out_dir`."""
    try:
        return Hedge.from_dict(json.loads((Path(out_dir) / ENSEMBLE).read_text()), config.ensemble)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"no state of the ensemble ({type(error).__name__})",
            where=str(Path(out_dir) / ENSEMBLE),
            remedy="finish the walk-forward run",
        ) from error


def _train_fold(
    data: Dataset,
    fold: Fold,
    config: WalkForwardConfig,
    config_hash: str,
    feature_names: tuple[str, ...],
    device: torch.device,
    progress: Callable[[Progress], None] | None,
) -> TrainedFold:
    y_train = purge(data.y, data.t1, fold.train_start, fold.validation_start)
    y_validation = purge(data.y, data.t1, fold.validation_start, fold.cut)
    training = slice(fold.train_start, fold.validation_start)
    scaler = Scaler.fit(data.X, np.flatnonzero(data.complete[training]) + fold.train_start)
    X = torch.from_numpy(scaler.transform(data.X)).to(device)
    labels = (torch.from_numpy(y_train).to(device), torch.from_numpy(y_validation).to(device))

    models: dict[str, CausalModel] = {}
    history: dict[str, list[Epoch]] = {}
    forecasts = []
    for member, settings in enumerate(config.models):
        seed = int(np.random.SeedSequence((config.seed, fold.number, member)).generate_state(1)[0])
        model = build_model(settings, X.shape[1], config.layout, seed=seed).to(device)
        report = None if progress is None else _reporter(progress, fold, config, settings.kind)
        history[settings.kind] = fit(
            model, X, *labels, data.runs, config.train, min_context=settings.min_context, seed=seed, progress=report
        )
        forecasts.append(
            predict(model, X, data.runs, fold.start, fold.stop, config.train, min_context=settings.min_context)
        )
        models[settings.kind] = model.cpu()
    said = FoldForecast.of(forecasts, len(config.horizons))
    predictions = Predictions(
        values=said.p_up.reshape(fold.stop - fold.start, -1),
        columns=column_names("p_up", config.horizons, tuple(models)),
        fold=np.zeros(fold.stop - fold.start, dtype=np.int16),
        train_cut_ms=data.open_time_ms[[last_end(data.t1, y_train, y_validation)]],
        open_time_ms=data.open_time_ms[fold.start : fold.stop],
        config_hash=config_hash,
        further=said.further,
        further_columns=further_columns(config),
    )
    return TrainedFold(fold, config, feature_names, scaler, models, history, predictions)


def _reporter(
    progress: Callable[[Progress], None], fold: Fold, config: WalkForwardConfig, kind: str
) -> Callable[[Epoch], None]:
    return lambda epoch: progress(Progress(fold.number, config.folds, kind, config.train.epochs, epoch))


def _stored(out_dir: Path, fold: Fold, config_hash: str) -> TrainedFold:
    trained = load_fold(out_dir, fold.number)
    if trained.config_hash != config_hash:
        raise InputError(
            f"it was made from other data or settings ({trained.config_hash}, now {config_hash})",
            where=str(fold_path(out_dir, fold.number)),
            remedy="choose another folder, or delete this one",
        )
    return trained


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts when it was built without the device
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason})", where="supervised", remedy="use cpu") from error
    return device
