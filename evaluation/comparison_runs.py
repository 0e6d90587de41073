"""Forecasts of every model and baseline on one `ComparisonSet`, kept on disk so that a run that was stopped goes on.

Each model has its own walk-forward run in a folder of its own (`{set}/{model}/`), stored fold by fold; the baselines
have a file beside them. What is there and was made from the same data and settings is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from evaluation.comparison import LabelResult, compare
from evaluation.comparison_sets import ComparisonSet
from supervised.baselines import Baseline, baseline_predictions, fold_scaler
from supervised.config import ModelConfig, ModelKind
from supervised.meta import Ensemble
from supervised.predictions import Predictions
from supervised.splits import plan_folds
from supervised.walk_forward import Progress, walk_forward_predictions

Floats = NDArray[np.float64]
ENSEMBLE = "ensemble"
BASELINES = "baselines.parquet"
Tell = Callable[[float, str], None]
"""Told the share that is done and the latest figure."""
StageOf = Callable[[str], AbstractContextManager[Tell]]
"""Opens the stage of the forecaster named, and gives what is to be told."""


@dataclass(frozen=True, eq=False)
class SetResult:
    """All forecasters on one set."""

    data: ComparisonSet
    models: tuple[str, ...]
    """The ensemble last, when there is more than one member."""
    baselines: tuple[str, ...]
    shuffled: tuple[str, ...]
    """Models trained on shuffled labels: `{model} shuffled`, numbered when there are several shuffles."""
    labels: tuple[LabelResult, ...]


def run_set(
    data: ComparisonSet,
    kinds: Sequence[ModelKind],
    out: Path,
    *,
    shuffled: Sequence[ModelKind] = (),
    shuffles: int = 1,
    baselines: Sequence[Baseline] | None = None,
    device: str = "cpu",
    flips: int = 9999,
    stage: StageOf = lambda _: nullcontext(silent),
) -> SetResult:
    """Train and judge `kinds`, their ensemble, the baselines, and the `shuffled` kinds on labels dealt out anew.

    Folders are made under `out`. `shuffles`: how many times labels are dealt out for each of the shuffled kinds.
    `baselines`: those of `data` when None. Raises InputError when a folder holds a run of other data or settings.
    """
    folder = Path(out) / data.slug
    chosen = data.baselines if baselines is None else tuple(baselines)
    forecasts: dict[str, Floats] = {}
    for kind in kinds:
        with stage(kind) as tell:
            forecasts[kind] = model_forecast(data, kind, data.data.y, folder / kind, device, tell)
    models: tuple[str, ...] = tuple(kinds)
    if len(kinds) > 1:
        forecasts[ENSEMBLE] = ensemble_forecast(data, forecasts)
        models += (ENSEMBLE,)
    with stage("baselines") as tell:
        forecasts |= baseline_forecasts(data, chosen, folder / BASELINES, tell)
    controls = []
    for kind, number in product(shuffled, range(shuffles)):
        name = f"{kind} shuffled" + (f" {number + 1}" if shuffles > 1 else "")
        labels = shuffle(data.data.y, data.config.seed + number)
        with stage(name) as tell:
            place = folder / f"{kind}_shuffled_{number + 1}"
            forecasts[name] = model_forecast(data, kind, labels, place, device, tell)
        controls.append(name)
    results = compare(
        forecasts,
        data.data.y.astype(np.float64),
        data.until,
        data.labels,
        data.overlap,
        models=models,
        baselines=[baseline.name for baseline in chosen],
        controls=controls,
        flips=flips,
        seed=data.config.seed,
    )
    return SetResult(data, models, tuple(baseline.name for baseline in chosen), tuple(controls), results)


def silent(_done: float, _figure: str) -> None:
    """For those who do not want to be told."""


def model_forecast(
    data: ComparisonSet,
    kind: ModelKind,
    y: NDArray[np.float32],
    folder: Path,
    device: str,
    tell: Tell,
) -> Floats:
    """P(up) (T, H) of one architecture, walked forward on the labels `y` (T, H)."""
    config = replace(data.config, models=(ModelConfig(kind=kind),))
    rows = data.data

    def progress(at: Progress) -> None:
        done = (at.fold + min(at.epoch.number / at.epochs, 1.0)) / at.folds
        tell(done, f"fold {at.fold + 1} of {at.folds}, loss {at.epoch.validation_loss:.4f}")

    found = walk_forward_predictions(
        rows.X,
        y,
        rows.t1,
        rows.segments,
        rows.open_time_ms,
        config,
        feature_names=data.feature_names,
        out_dir=folder,
        device=device,
        progress=progress,
    )
    return columns_of(found, kind, config.horizons)


def baseline_forecasts(
    data: ComparisonSet, baselines: Sequence[Baseline], path: Path, tell: Tell
) -> Mapping[str, Floats]:
    """P(up) (T, H) of each baseline, from `path` when it holds these baselines of these rows."""
    horizons = data.config.horizons
    wanted = {f"p_up_{baseline.name}_h{horizon}" for baseline in baselines for horizon in horizons}
    found = Predictions.load(path) if path.exists() else None
    if found is None or found.config_hash != data.data.fingerprint(data.config) or set(found.columns) != wanted:
        folds = data.config.folds
        found = baseline_predictions(
            data.data,
            data.past,
            data.config,
            baselines,
            progress=lambda fold: tell((fold + 1) / folds, f"fold {fold + 1} of {folds}"),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        found.save(path)
    return {baseline.name: columns_of(found, baseline.name, horizons) for baseline in baselines}


def ensemble_forecast(data: ComparisonSet, forecasts: Mapping[str, Floats]) -> Floats:
    """P(up) (T, H) of the members in `forecasts`, weighed by what they had got right before each row."""
    config, rows = data.config, data.data
    scaled = np.full(rows.X.shape, np.nan, dtype=np.float32)
    for fold in plan_folds(len(rows.X), config):
        place = slice(fold.start, fold.stop)
        scaled[place] = fold_scaler(rows, fold).transform(rows.X[place])
    ensemble = Ensemble.start(config.ensemble, config.horizons, tuple(forecasts), data.feature_names)
    mixture, _ = ensemble.run(np.stack([*forecasts.values()], axis=-1), scaled, rows.y, rows.t1)
    return mixture


def columns_of(predictions: Predictions, name: str, horizons: Sequence[int]) -> Floats:
    """The columns `p_up_{name}_h…` as float64 (T, H)."""
    picked = [predictions.columns.index(f"p_up_{name}_h{horizon}") for horizon in horizons]
    return predictions.values[:, picked].astype(np.float64)


def shuffle(y: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Each column's known labels dealt out anew among the rows that have one: what is left to learn is nothing."""
    generator = np.random.default_rng(seed)
    dealt = y.copy()
    for column in dealt.T:
        known = np.flatnonzero(np.isfinite(column))
        if known.size == 0:
            raise InputError("a label column knows nothing", where="shuffle", remedy="use shorter horizons")
        column[known] = column[generator.permutation(known)]
    return dealt
