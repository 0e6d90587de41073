"""Walk-forward predictions: the only way that predictions reach a market.

Each fold's models see labels that ended before the fold began, less an embargo; its scaler sees training rows only.
The predictions of all folds together are out of sample, and so is the ensemble, whose weights at a row come from
labels that ended by then. Several markets may share their models; their folds begin at the same moments, so that none
learns from what was the future of another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from supervised.chunks import row_blocks
from supervised.config import WalkForwardConfig
from supervised.dataset import Dataset, joint_fingerprint
from supervised.fold_store import TrainedFold, fold_path, further_columns, last_fold, load_fold, save_fold
from supervised.fold_training import NEW_SYMBOL, Conduct, Progress, fold_predictions, names_of, train_fold
from supervised.meta import Ensemble
from supervised.outputs import OutputLayout
from supervised.predictions import Predictions, column_names
from supervised.splits import Fold, plan_folds

ENSEMBLE, PREDICTIONS = "ensemble.json", "predictions.parquet"


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
    (the state the live ensemble starts from); a run that was killed goes on where it was, to the pass, and ends as it
    would have. `progress` is called after every pass of every model. Raises InputError for arrays that do not fit,
    for too few rows, and for an `out_dir` that holds folds of other data or settings.
    """
    data = Dataset(X, y.astype(np.float32), t1, segments, open_time_ms)
    conduct = Conduct(None if out_dir is None else Path(out_dir), device, progress=progress)
    return walk_forward({"": data}, config, conduct, feature_names=feature_names)[""]


def walk_forward(
    markets: Mapping[str, Dataset],
    config: WalkForwardConfig,
    conduct: Conduct,
    *,
    feature_names: tuple[str, ...] = (),
) -> dict[str, Predictions]:
    """`walk_forward_predictions` of several markets with the same features, by models that they share.

    What belongs to a market lies in a folder of its name below `conduct.out_dir`; for one named "" it is that folder
    itself. Beside them lie the models for a market not among them (`fold_training.NEW_SYMBOL`). Raises InputError
    likewise.
    """
    first, columns = next((name, data.X.shape[1]) for name, data in markets.items())
    for name, data in markets.items():
        if name == NEW_SYMBOL or data.X.shape[1] != columns:
            taken = f"{name} has {data.X.shape[1]} features, {first} has {columns}"
            what = "the name is kept for markets that were not there" if name == NEW_SYMBOL else taken
            raise InputError(what, where=f"walk_forward {name}", remedy="give all markets the same features")
        if data.y.shape[1] != config.layout.targets:
            raise InputError(
                f"y has {data.y.shape[1]} columns for horizons {config.horizons} and {len(config.brackets)} brackets",
                where=f"walk_forward_predictions {name}".rstrip(),
                remedy="give one label column per horizon and one per bracket",
            )
    config_hash = joint_fingerprint(markets, config)
    done: dict[str, list[TrainedFold]] = {name: [] for name in markets}
    for folds in plan_joint_folds(markets, config):
        trained = _stored_or_trained(markets, folds, config, config_hash, feature_names, conduct)
        for name in markets:
            done[name].append(trained[name])
    found = {}
    for name, data in markets.items():
        start = _untold(config, done[name][0].feature_names)
        found[name], ensemble = _joined(data, done[name], config, config_hash, start)
        if conduct.out_dir is not None:
            found[name].save(conduct.out_dir / name / PREDICTIONS)
            write_json(conduct.out_dir / name / ENSEMBLE, ensemble.to_dict())
    return found


def plan_joint_folds(markets: Mapping[str, Dataset], config: WalkForwardConfig) -> list[dict[str, Fold]]:
    """The folds of all markets' moments together, as rows of each market."""
    moments = reduce(np.union1d, (data.open_time_ms for data in markets.values()))
    edges = ("train_start", "validation_start", "cut", "start", "stop")
    plan = []
    for fold in plan_folds(len(moments), config):
        rows = {}
        for name, data in markets.items():
            times = data.open_time_ms
            at = {
                edge: int(np.searchsorted(times, moments[row])) if row < len(moments) else len(times)
                for edge, row in ((edge, getattr(fold, edge)) for edge in edges)
            }
            rows[name] = replace(fold, **at)
        plan.append(rows)
    return plan


def load_ensemble(out_dir: Path, config: WalkForwardConfig) -> Ensemble:
    """The ensemble as it stood after the last row of the walk-forward run in `out_dir`."""
    try:
        return Ensemble.from_dict(json.loads((Path(out_dir) / ENSEMBLE).read_text()), config.ensemble)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"no state of the ensemble ({type(error).__name__})",
            where=str(Path(out_dir) / ENSEMBLE),
            remedy="finish the walk-forward run",
        ) from error


def later_predictions(
    out_dir: Path, load: Callable[[OutputLayout], Dataset], start_ms: int | None = None
) -> Predictions:
    """What the last fold's models in `out_dir` say of rows that the run did not have, and the ensemble with them.

    load: gives the rows with what the features need before them, and their labels as far as they are known: the
    ensemble goes on learning from them. start_ms: first open time predicted; the first after the run's, when None.
    Raises LeakError for a `start_ms` that the run, or its ensemble, has seen.
    """
    last = last_fold(out_dir)
    config, data = last.config, load(last.config.layout)
    seen = int(last.predictions.train_cut_ms[0])
    ensemble = _untold(config, last.feature_names)
    if (out_dir / PREDICTIONS).exists():  # not of models for a market that was not there
        seen = int(Predictions.load(out_dir / PREDICTIONS).open_time_ms[-1])
        ensemble = load_ensemble(out_dir, config)
    start = int(np.searchsorted(data.open_time_ms, seen + 1 if start_ms is None else start_ms))
    if start == len(data.X):
        raise InputError("no bar is later than what the run has seen", where=str(out_dir), remedy="give newer bars")
    said = last.predict(data.X, data.segments, start)
    rows = data.open_time_ms[start:]
    later = fold_predictions(said, rows, config, last.config_hash, seen)
    fold = replace(last.fold, number=0, start=start, stop=len(data.X))
    return _joined(data, [replace(last, fold=fold, predictions=later)], config, last.config_hash, ensemble)[0]


def _stored_or_trained(
    markets: Mapping[str, Dataset],
    folds: Mapping[str, Fold],
    config: WalkForwardConfig,
    config_hash: str,
    feature_names: tuple[str, ...],
    conduct: Conduct,
) -> dict[str, TrainedFold]:
    """One fold of every market, from disk where all of it is there."""
    number = next(iter(folds.values())).number
    names = names_of(markets)
    out_dir = conduct.out_dir
    if out_dir is not None and all(fold_path(out_dir / name, number).exists() for name in names):
        return {name: _stored(out_dir / name, number, config_hash) for name in names}
    trained = train_fold(markets, folds, config, config_hash, feature_names, conduct)
    if out_dir is not None:
        for name, fold in trained.items():
            if not fold_path(out_dir / name, number).exists():  # it does where a kill came between two of them
                save_fold(out_dir / name, fold)
        conduct.forget(number)
    return trained


def _stored(out_dir: Path, number: int, config_hash: str) -> TrainedFold:
    trained = load_fold(out_dir, number)
    if trained.config_hash != config_hash:
        raise InputError(
            f"it was made from other data or settings ({trained.config_hash}, now {config_hash})",
            where=str(fold_path(out_dir, number)),
            remedy="choose another folder, or delete this one",
        )
    return trained


def _untold(config: WalkForwardConfig, feature_names: tuple[str, ...]) -> Ensemble:
    """The ensemble before it has learned anything."""
    members = tuple(model.kind for model in config.models)
    return Ensemble.start(config.ensemble, config.horizons, members, feature_names)


def _joined(
    data: Dataset, trained: Sequence[TrainedFold], config: WalkForwardConfig, config_hash: str, ensemble: Ensemble
) -> tuple[Predictions, Ensemble]:
    """The folds' predictions of one market as one, with the ensemble over them, and it as it ends."""
    rows, members = len(data.X), tuple(model.kind for model in config.models)
    names = further_columns(config)
    probabilities = np.full((rows, len(config.horizons), len(members)), np.nan, dtype=np.float32)
    further = np.full((rows, len(names)), np.nan, dtype=np.float32)
    regimes = np.full((rows, ensemble.regimes(data.X[:1]).shape[1]), np.nan)
    number = np.full(rows, -1, dtype=np.int16)
    for fold in trained:
        place = slice(fold.fold.start, fold.fold.stop)
        probabilities[place] = fold.predictions.values.reshape(-1, *probabilities.shape[1:])
        further[place] = fold.predictions.further
        for block in row_blocks(fold.fold.stop - fold.fold.start):
            here = slice(fold.fold.start + block.start, fold.fold.start + block.stop)
            regimes[here] = ensemble.regimes(fold.scaler.transform(data.X[here]))
        number[place] = fold.fold.number

    horizons = config.layout.direction
    mixture, weights = ensemble.run_in(probabilities, regimes, data.y[:, horizons], data.t1[:, horizons])
    predictions = Predictions(
        values=np.concatenate([probabilities.reshape(rows, -1), mixture.astype(np.float32)], axis=1),
        columns=column_names("p_up", config.horizons, members) + column_names("p_up", config.horizons, ("ensemble",)),
        fold=number,
        train_cut_ms=np.array([int(fold.predictions.train_cut_ms[0]) for fold in trained], dtype=np.int64),
        open_time_ms=data.open_time_ms,
        config_hash=config_hash,
        weights=weights.reshape(rows, -1).astype(np.float32),
        weight_columns=column_names("weight", config.horizons, members),
        further=further,
        further_columns=names,
    )
    return predictions, ensemble
