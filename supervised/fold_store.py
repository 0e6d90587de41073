"""A trained fold on disk: whole or not there at all, so that a killed run goes on at the first fold it lacks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data_pipeline.errors import InputError
from features.scaling import Scaler
from supervised.base import CausalModel
from supervised.chunks import complete_runs
from supervised.config import EnsembleConfig, ModelConfig, TaskConfig, TrainConfig, WalkForwardConfig
from supervised.fit_state import Epoch
from supervised.forecasting import predict
from supervised.models import build_model
from supervised.outputs import Bracket
from supervised.predictions import Predictions
from supervised.splits import Fold

ABOUT, PREDICTIONS = "fold.json", "predictions.parquet"


class FoldForecast(NamedTuple):
    """What a fold's models say of N rows."""

    p_up: np.ndarray
    """float32 (N, H, M): P(up) by each model."""
    further: np.ndarray
    """float32 (N, E): moves, outcomes and uncertainties, in the order of `further_columns`."""

    @classmethod
    def of(cls, forecasts: list[np.ndarray], horizons: int) -> FoldForecast:
        """From each model's forecasts (N, O + H), as `forecasting.predict` makes them."""
        return cls(
            np.stack([said[:, :horizons] for said in forecasts], axis=-1),
            np.concatenate([said[:, horizons:] for said in forecasts], axis=1),
        )


def further_columns(config: WalkForwardConfig) -> tuple[str, ...]:
    """Names of what the members say beside P(up), model by model."""
    names: list[str] = []
    for model in config.models:
        names += config.layout.columns(model.kind)[len(config.horizons) :] + config.layout.sd_columns(model.kind)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class TrainedFold:
    """What training on one fold left behind; enough to predict later rows with."""

    fold: Fold
    config: WalkForwardConfig
    feature_names: tuple[str, ...]
    scaler: Scaler
    """Fitted on the fold's training rows."""
    models: Mapping[str, CausalModel]
    """By kind, in eval mode."""
    history: Mapping[str, list[Epoch]]
    """Losses of each pass, by kind."""
    predictions: Predictions
    """The members' predictions of the fold's own rows, as fold 0 of one."""

    @property
    def config_hash(self) -> str:
        """Of the settings and the data that made the fold."""
        return self.predictions.config_hash

    def predict(self, X: np.ndarray, segments: np.ndarray, lo: int = 0, hi: int | None = None) -> FoldForecast:
        """What each model says of the rows [lo, hi), NaN where features or context are missing.

        X: float (T, F) unscaled features. segments: int64 (K, 2) contiguous stretches.
        """
        hi = len(X) if hi is None else hi
        runs = complete_runs(X, segments)
        scaled = self.scaler.transform(X)
        train = self.config.train
        forecasts = [
            predict(self.models[model.kind], scaled, runs, lo, hi, train, min_context=model.min_context)
            for model in self.config.models
        ]
        return FoldForecast.of(forecasts, len(self.config.horizons))


def fold_path(out_dir: Path, number: int) -> Path:
    """Folder of a fold."""
    return Path(out_dir) / f"fold_{number}"


def save_fold(out_dir: Path, trained: TrainedFold) -> None:
    """Write `fold_{number}/`: weights, scaler, settings, history and predictions appear together or not at all."""
    path = fold_path(out_dir, trained.fold.number)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed while writing
    temporary.mkdir(parents=True)
    about = {
        "config_hash": trained.config_hash,
        "config": asdict(trained.config),
        "fold": asdict(trained.fold),
        "feature_names": list(trained.feature_names),
        "n_features": next(iter(trained.models.values())).n_features,
        "scaler": trained.scaler.to_dict(),
        "history": {kind: [asdict(epoch) for epoch in epochs] for kind, epochs in trained.history.items()},
        "torch": torch.__version__,
    }
    (temporary / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
    trained.predictions.save(temporary / PREDICTIONS)
    for kind, model in trained.models.items():
        torch.save(model.state_dict(), temporary / f"{kind}.pt")
    for file in temporary.iterdir():
        _sync(file)
    temporary.rename(path)
    _sync(path.parent)


def load_fold(out_dir: Path, number: int, *, device: str = "cpu") -> TrainedFold:
    """Read a fold that `save_fold` wrote, models on `device`. Raises InputError when it is not there or damaged."""
    path = fold_path(out_dir, number)
    try:
        about = json.loads((path / ABOUT).read_text())
        config = config_from_dict(about["config"])
        models: dict[str, CausalModel] = {}
        for settings in config.models:
            model = build_model(settings, about["n_features"], config.layout).eval()
            model.load_state_dict(torch.load(path / f"{settings.kind}.pt", weights_only=True, map_location="cpu"))
            models[settings.kind] = model.to(device)
        return TrainedFold(
            fold=Fold(**about["fold"]),
            config=config,
            feature_names=tuple(about["feature_names"]),
            scaler=Scaler.from_dict(about["scaler"]),
            models=models,
            history={kind: [Epoch(**epoch) for epoch in epochs] for kind, epochs in about["history"].items()},
            predictions=Predictions.load(path / PREDICTIONS),
        )
    except InputError:
        raise
    except Exception as error:  # unpickling a damaged file can raise anything
        raise InputError(
            f"not a complete trained fold ({type(error).__name__}: {error})",
            where=str(path),
            remedy="delete the folder and run again",
        ) from error


def last_fold(folder: Path) -> TrainedFold:
    """The newest models of a finished walk-forward run. Raises InputError when it is not finished."""
    numbers = [int(name.name.removeprefix("fold_")) for name in folder.glob("fold_*")]
    if not numbers:
        raise InputError("there are no trained models", where=str(folder), remedy="finish the run with --resume")
    fold = load_fold(folder, max(numbers))
    if fold.fold.number + 1 < fold.config.folds:
        raise InputError(
            f"only {fold.fold.number + 1} of {fold.config.folds} folds are trained",
            where=str(folder),
            remedy="finish the run with --resume",
        )
    return fold


def config_from_dict(values: dict[str, Any]) -> WalkForwardConfig:
    """Back from `dataclasses.asdict` through JSON."""
    return WalkForwardConfig(
        **{
            **values,
            "horizons": tuple(values["horizons"]),
            "brackets": tuple(Bracket(**bracket) for bracket in values["brackets"]),
            "models": tuple(ModelConfig(**model) for model in values["models"]),
            "train": TrainConfig(**{**values["train"], "tasks": TaskConfig(**values["train"]["tasks"])}),
            "ensemble": EnsembleConfig(**values["ensemble"]),
        }
    )


def _sync(path: Path) -> None:
    """Force a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
