"""Training on one fold, of one market or of several that share their models, and predicting its rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from features.scaling import Scaler
from supervised.base import CausalModel
from supervised.chunk_set import ChunkSet, LabelledRows, labelled_chunks
from supervised.chunks import row_blocks
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset
from supervised.devices import resolve_device
from supervised.fit_state import Epoch, FileCheckpoint
from supervised.fold_store import FoldForecast, TrainedFold, further_columns
from supervised.forecasting import predict
from supervised.models import build_model
from supervised.monitor import TensorBoard
from supervised.predictions import Predictions, column_names
from supervised.splits import Fold
from supervised.spool import scaled
from supervised.symbols import UNKNOWN, SymbolModel
from supervised.training import Trained, Watch, fit

NEW_SYMBOL = "new-symbol"
"""Name under which a run of several markets keeps the models for markets that it did not see."""
UNFINISHED, TENSORBOARD = "unfinished", "tensorboard"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a walk-forward run stands."""

    fold: int
    folds: int
    model: str
    epochs: int
    """Most passes the model may take."""
    epoch: Epoch


def names_of(markets: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Of all that models are kept for."""
    return (*markets, NEW_SYMBOL) if len(markets) > 1 else (*markets,)


class Fitter(Protocol):
    """`training.fit`, or a stand-in that computes elsewhere."""

    def __call__(
        self,
        model: Trained,
        training: ChunkSet,
        validation: ChunkSet,
        config: TrainConfig,
        *,
        seed: int,
        progress: Callable[[Epoch], None] | None,
        watch: Watch | None,
        checkpoint: FileCheckpoint | None,
    ) -> list[Epoch]:
        """See `training.fit`."""


@dataclass(frozen=True)
class Conduct:
    """How a run goes about its work. Nothing here changes what comes out, but for rounding."""

    out_dir: Path | None = None
    """Where folds are kept, and the state of the fit under way."""
    device: str = "cpu"
    """See `devices.resolve_device`."""
    checkpoint_every: int = 0
    """Steps after which a fit's state is kept, besides the end of each pass."""
    tensorboard: bool = False
    """Whether fits write events below `out_dir`."""
    fitter: Fitter = fit
    progress: Callable[[Progress], None] | None = None
    """Called after every pass of every model."""

    def scratch(self, fold: int) -> Path | None:
        """Folder of what a fold under way needs and a finished one does not."""
        return None if self.out_dir is None else self.out_dir / UNFINISHED / f"fold_{fold}"

    def forget(self, fold: int) -> None:
        """Remove that folder."""
        scratch = self.scratch(fold)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
            with suppress(OSError):  # of another fold, or gone with one
                scratch.parent.rmdir()


def train_fold(
    markets: Mapping[str, Dataset],
    folds: Mapping[str, Fold],
    config: WalkForwardConfig,
    config_hash: str,
    feature_names: tuple[str, ...],
    conduct: Conduct,
) -> dict[str, TrainedFold]:
    """Models of all `markets` together, and their predictions for each, by name.

    folds: one per market, the same stretch of time. Of several markets each gets the shared models with its own vector
    folded in (see `symbols`), and `NEW_SYMBOL` those for a market not among them. Rows of matrices mapped from disk
    are scaled on disk too, so that no matrix needs to fit into memory.
    """
    number = next(iter(folds.values())).number
    scratch, device = conduct.scratch(number), resolve_device(conduct.device)
    scaler = Scaler.fit_blocks(_training_rows(markets, folds))
    X = {name: scaled(data.X, scaler, _spooled(scratch, name, data, config_hash)) for name, data in markets.items()}
    models: dict[str, dict[str, CausalModel]] = {name: {} for name in names_of(markets)}
    forecasts: dict[str, list[np.ndarray]] = {name: [] for name in markets}
    history: dict[str, list[Epoch]] = {}
    for member, settings in enumerate(config.models):
        seed = int(np.random.SeedSequence((config.seed, number, member)).generate_state(1)[0])
        model = build_model(settings, scaler.mean.size, config.layout, seed=seed)
        shared = SymbolModel(model, len(markets), config.train.forget_symbol) if len(markets) > 1 else None
        trained: Trained = (shared or model).to(device)
        training, validation = _chunk_sets(markets, folds, X, config, settings, model.receptive_field - 1)
        history[settings.kind] = conduct.fitter(
            trained,
            training,
            validation,
            config.train,
            seed=seed,
            progress=_reporter(conduct.progress, number, config, settings.kind),
            watch=_watch(conduct, number, config, settings.kind),
            checkpoint=None
            if scratch is None
            else FileCheckpoint(scratch / f"{settings.kind}.pt", config_hash, conduct.checkpoint_every),
        )
        for symbol, name in enumerate(markets, start=1):
            own = shared.of(symbol) if shared is not None else model
            start, stop = folds[name].start, folds[name].stop
            forecasts[name].append(
                predict(own, X[name], markets[name].runs, start, stop, config.train, min_context=settings.min_context)
            )
            models[name][settings.kind] = own.cpu()
        if shared is not None:
            models[NEW_SYMBOL][settings.kind] = shared.of(UNKNOWN).cpu()

    cut = max(_last_label_ms(markets[name], folds[name]) for name in markets)
    nothing = np.empty((0, config.layout.size + len(config.horizons)), dtype=np.float32)
    done = {}
    for name, members in models.items():
        fold = folds.get(name, replace(next(iter(folds.values())), start=0, stop=0))
        times = markets[name].open_time_ms[fold.start : fold.stop] if name in markets else np.empty(0, dtype=np.int64)
        said = FoldForecast.of(forecasts.get(name, [nothing] * len(members)), len(config.horizons))
        predictions = fold_predictions(said, times, config, config_hash, cut)
        done[name] = TrainedFold(fold, config, feature_names, scaler, members, history, predictions)
    return done


def _training_rows(markets: Mapping[str, Dataset], folds: Mapping[str, Fold]) -> Iterator[np.ndarray]:
    """The complete rows that labels are trained on, block by block."""
    for name, data in markets.items():
        fold = folds[name]
        for rows in row_blocks(fold.validation_start - fold.train_start):
            place = slice(fold.train_start + rows.start, fold.train_start + rows.stop)
            yield data.X[place][data.complete[place]]


def _spooled(scratch: Path | None, name: str, data: Dataset, config_hash: str) -> Path | None:
    """Where a scaled matrix is kept; None for one that is in memory."""
    if scratch is None or not isinstance(data.X, np.memmap):
        return None
    return scratch / f"{name or 'rows'}-{config_hash}.npy"


def _chunk_sets(
    markets: Mapping[str, Dataset],
    folds: Mapping[str, Fold],
    X: Mapping[str, np.ndarray],
    config: WalkForwardConfig,
    settings: ModelConfig,
    context: int,
) -> tuple[ChunkSet, ChunkSet]:
    """What is trained on, and what training is judged by."""

    def chunks(name: str, spans: Mapping[str, tuple[int, int]]) -> ChunkSet:
        parts = [
            LabelledRows(X[market], data.y, data.t1, data.runs, *spans[market], symbol)
            for symbol, (market, data) in enumerate(markets.items(), start=1)
        ]
        return labelled_chunks(
            name, parts, config.layout, context=context, length=config.train.chunk, min_context=settings.min_context
        )

    training = chunks("training", {name: (fold.train_start, fold.validation_start) for name, fold in folds.items()})
    validation = chunks("validation", {name: (fold.validation_start, fold.cut) for name, fold in folds.items()})
    return training, validation


def _last_label_ms(data: Dataset, fold: Fold) -> int:
    """Open time of the latest bar at which a label used in the fold ends; the smallest int64 when there is none."""
    latest = np.iinfo(np.int64).min
    for start, cut in ((fold.train_start, fold.validation_start), (fold.validation_start, fold.cut)):
        labelled = LabelledRows(data.X, data.y, data.t1, data.runs, start, cut)
        for rows in row_blocks(cut):
            ends = data.t1[rows][np.isfinite(labelled.targets(rows))]
            if len(ends):
                latest = max(latest, int(data.open_time_ms[ends.max()]))
    return latest


def fold_predictions(
    said: FoldForecast, open_time_ms: np.ndarray, config: WalkForwardConfig, config_hash: str, cut_ms: int
) -> Predictions:
    """Of a fold's rows, as fold 0 of one; raises LeakError for a row at or before `cut_ms`."""
    return Predictions(
        values=said.p_up.reshape(len(open_time_ms), said.p_up.shape[1] * said.p_up.shape[2]),
        columns=column_names("p_up", config.horizons, tuple(model.kind for model in config.models)),
        fold=np.zeros(len(open_time_ms), dtype=np.int16),
        train_cut_ms=np.array([cut_ms], dtype=np.int64),
        open_time_ms=open_time_ms,
        config_hash=config_hash,
        further=said.further,
        further_columns=further_columns(config),
    )


def _reporter(
    progress: Callable[[Progress], None] | None, number: int, config: WalkForwardConfig, kind: str
) -> Callable[[Epoch], None] | None:
    if progress is None:
        return None
    return lambda epoch: progress(Progress(number, config.folds, kind, config.train.epochs, epoch))


def _watch(conduct: Conduct, number: int, config: WalkForwardConfig, kind: str) -> Watch | None:
    if conduct.out_dir is None or not conduct.tensorboard:
        return None
    return TensorBoard(conduct.out_dir / TENSORBOARD / f"fold_{number}" / kind, config.layout)
