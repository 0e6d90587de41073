"""Training models on bars, from beginning to end: data, walk-forward fits, and a folder that says what came out.

run/config.json, environment.json, data.json   see `run_folder`
run/data/                                      feature store and matrices, unless kept elsewhere
run/models/SYMBOL/fold_N/                      models of each fold
run/models/SYMBOL/predictions.parquet          out-of-sample predictions
run/models/SYMBOL/ensemble.json                the ensemble as it stood after the last bar
run/models/new-symbol/fold_N/                  of several symbols: models for one not among them
run/models/tensorboard/                        events
run/summary.json                               written last: a run that has it is finished
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from evaluation.progress import Stages
from evaluation.run_folder import RunFolder, jsonable
from evaluation.signal_quality import prediction_quality
from features.config import BarParameters
from features.store.build import Request
from features.store.feature_set import Precision, feature_set
from features.store.sources import Source, lacking_fields
from supervised.config import WalkForwardConfig
from supervised.dataset import Dataset
from supervised.fold_training import Conduct, Fitter, Progress
from supervised.market_data import MarketData, load_market
from supervised.predictions import Predictions
from supervised.training import fit
from supervised.walk_forward import later_predictions, walk_forward

MODELS, DATA, SUMMARY, FEATURES = "models", "data", "summary.json", "features.json"


@dataclass(frozen=True)
class Features:
    """Which features, made how: what later bars need to be given to the same models."""

    select: tuple[str, ...]
    """Features, families or presets."""
    windows: BarParameters = field(default_factory=BarParameters)
    precision: Precision = "float32"
    """Of the stored values; the models compute in float32."""

    def request(self, names: tuple[str, ...] | None = None) -> Request:
        """For the feature store."""
        return Request(names or self.select or None, self.windows, self.precision)


def train_on_bars(
    sources: Sequence[Source],
    features: Features,
    config: WalkForwardConfig,
    folder: RunFolder,
    *,
    data_dir: Path | None = None,
    device: str = "auto",
    checkpoint_every: int = 200,
    fitter: Fitter = fit,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train and predict walk-forward; returns the summary that the folder ends with.

    sources: bars of one or several symbols, of one interval. data_dir: where features and matrices are kept, to be
    shared by runs. Raises InputError for bars that cannot be used, and on resume for other data.
    """
    symbols = [source.series.symbol for source in sources]
    if len(set(symbols)) < len(symbols):
        raise InputError(f"several series of one symbol: {' '.join(symbols)}", where="bars", remedy="name one venue")
    began, data_dir = time.monotonic(), data_dir or folder.path / DATA
    with Stages(console or Console(quiet=True)) as stages:
        with stages.stage("features and labels", len(sources)) as stage:
            request = features.request(common_features(sources, features) if len(sources) > 1 else None)
            markets: dict[str, MarketData] = {}
            for number, source in enumerate(sources):
                stage.at(number, str(source.series))
                markets[source.series.symbol] = load_market(source, request, config.layout, data_dir)
        folder.same_data({name: market.digest for name, market in markets.items()})
        names = next(iter(markets.values())).feature_names
        write_json(folder.path / FEATURES, jsonable({"names": names, **dataclasses.asdict(features)}))
        with stages.stage("training", config.folds * len(config.models)) as stage:
            kinds: list[str] = [model.kind for model in config.models]

            def progress(at: Progress) -> None:
                done = at.fold * len(kinds) + kinds.index(at.model) + at.epoch.number / at.epochs
                stage.at(done, f"fold {at.fold + 1}/{at.folds} {at.model}: {at.epoch.validation_loss:.4f} nats")

            conduct = Conduct(folder.path / MODELS, device, checkpoint_every, True, fitter, progress)
            data = {name: market.data for name, market in markets.items()}
            found = walk_forward(data, config, conduct, feature_names=names)
    interval_ms = sources[0].series.interval_ms
    summary = {
        "features": len(names),
        "symbols": {name: judged(found[name], market.data, config, interval_ms) for name, market in markets.items()},
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(folder.path / SUMMARY, jsonable(summary))
    return summary


def common_features(sources: Sequence[Source], features: Features) -> tuple[str, ...]:
    """Names of the features that the bars of every source can give, in catalogue order."""
    given = []
    for source in sources:
        bars = source.read()
        if len(bars) == 0:
            raise InputError("there are no bars", where=str(source.series), remedy="give a range that holds some")
        request = features.request()
        given.append(
            feature_set(request.names, features.windows, int(bars.open_time_ms[0]), lacking=lacking_fields(bars)).names
        )
    return tuple(name for name in given[0] if all(name in names for names in given))


def judged(predictions: Predictions, data: Dataset, config: WalkForwardConfig, interval_ms: int) -> dict[str, Any]:
    """What the out-of-sample predictions of one symbol are worth, every figure with its 95 % interval."""
    predicted = predictions.fold >= 0
    table = {}
    for column, name in enumerate(predictions.columns):
        horizon = int(name.rpartition("_h")[2])
        label = config.horizons.index(horizon)
        quality = prediction_quality(
            name,
            predictions.values[:, column],
            data.y[:, label],
            data.t1[:, label],
            horizon=horizon,
            round_trip_bps=0.0,
            interval_ms=interval_ms,
        )
        if quality is None:
            continue
        table[name] = {
            "labels": quality.rows,
            "labels_without_overlap": quality.n,
            "accuracy": quality.accuracy,
            "majority": quality.majority,
            "log_loss": quality.log_loss,
            "p_value_against_coin": quality.against_coin.p_value,
            "calibration_error": quality.calibration_error,
        }
    return {
        "rows": len(data.X),
        "predicted_rows": int((predicted & np.isfinite(predictions.values).all(axis=1)).sum()),
        "training_cuts_ms": predictions.train_cut_ms,
        "directions": table,
    }


def finished_symbols(run: Path) -> list[str]:
    """Symbols of a finished run of `train_on_bars`. Raises InputError for anything else."""
    try:
        return list(json.loads((run / SUMMARY).read_text())["symbols"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"no finished run is there ({type(error).__name__})",
            where=str(run),
            remedy="make one with python -m scripts.train_supervised --out FOLDER, or finish it with --resume",
        ) from error


def predict_later(
    run: Path, symbol: str, source: Source, start_ms: int | None = None, data_dir: Path | None = None
) -> Predictions:
    """Predictions of bars that came after those of a finished run, by its last fold's models.

    symbol: whose models; `NEW_SYMBOL` where the bars are of none that was trained on. source: bars that begin early
    enough for the features' warm-up. start_ms: first open time to predict; the first bar that the run did not see,
    when None. Raises LeakError for a `start_ms` before that, InputError where names or intervals do not fit.
    """
    about = json.loads((run / FEATURES).read_text())
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in about["windows"].items()
    }
    windows = BarParameters(**given)
    features = Features(tuple(about["names"]), windows, about["precision"])
    load = partial(load_market, source, features.request(), folder=data_dir or run / DATA)
    return later_predictions(run / MODELS / symbol, lambda layout: load(layout).data, start_ms)
