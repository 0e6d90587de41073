"""Does learning on help? A SYNTHETIC market whose edge turns round, one that stays as it is, and one without an edge.

The truth is known there, so a forecaster is judged by the *gain recovered*: the expected accuracy of its calls over a
coin, as a share of the best that anybody can do who sees the bars and knows of the change.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import segments
from data_pipeline.synthetic import SyntheticMarket, synthetic_market
from features.batch import compute_features
from features.catalogue import select_features
from features.labels import fixed_horizon
from supervised.config import WalkForwardConfig
from supervised.diebold_mariano import Significance
from supervised.fold_store import TrainedFold, last_fold
from supervised.meta import Ensemble
from supervised.online.config import LearningConfig, StudyConfig
from supervised.online.fold import LINEAR, OnlineFold
from supervised.online.learner import Counts
from supervised.online.prequential import (
    Forgetting,
    Prequential,
    against_best_member,
    compare,
    forgetting,
    recovered,
    recovery_rows,
)
from supervised.online.run import LabelArrays, OnlineRun, run_online
from supervised.walk_forward import walk_forward_predictions

ENSEMBLE = "ensemble"
LEAST_ROWS = 100
"""Rows of every model's warm-up and more: the other market is judged from there on."""


@dataclass(frozen=True)
class Trial:
    """Bars of one synthetic market as models see them."""

    X: np.ndarray
    """float64 (T, F)"""
    labels: LabelArrays
    segments: np.ndarray
    open_time_ms: np.ndarray
    truth: np.ndarray
    """float64 (T, H): P(up) given all that the bars tell, with the flip known."""
    feature_names: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """One forecaster at one horizon."""

    name: str
    horizon: int
    before: float
    """Gain recovered on the rows before the change."""
    after: float
    """The same on the last half of the rows after it, or of all rows where nothing changes."""
    recovery: int | None
    """Rows after the change until a window of `StudyConfig.window` rows recovers 80 %; None: never, or no change."""
    against_frozen: Prequential | None
    """On all rows: a learning model against itself as trained, the ensemble against the first model as trained."""


@dataclass(frozen=True)
class StudyResult:
    """Everything that one study found."""

    config: StudyConfig
    standings: tuple[Standing, ...]
    forgotten: dict[str, Forgetting] = field(default_factory=dict)
    """By model, on another market of the first regime; empty without a change."""
    counts: dict[str, Counts] = field(default_factory=dict)
    stretches: dict[int, tuple[Significance, ...]] = field(default_factory=dict)
    """By horizon: the ensemble against the member that was best on each stretch of `StudyConfig.window` rows."""

    def of(self, name: str, horizon: int) -> Standing:
        """The standing of one forecaster at one horizon."""
        return next(s for s in self.standings if (s.name, s.horizon) == (name, horizon))


def run_study(config: StudyConfig, learning: LearningConfig) -> StudyResult:
    """Train, then go on over `before` rows, and over `after` rows of which the first is the one of the change.

    Raises InputError when the rows are too few to train on.
    """
    change = config.train_rows + config.before
    trial = make_trial(config, config.seed, flip=change if config.setting == "flip" else None)
    fold = train_fold(trial, config)
    ensemble = Ensemble.start(fold.config.ensemble, config.horizons, tuple(fold.models), trial.feature_names)
    online = OnlineFold(fold, ensemble, learning)
    rows = (config.train_rows, change, change + config.after)
    runs = [run_online(online, trial.X, trial.labels, trial.segments, *rows[:2])]
    at_change = {kind: learner.serving for kind, learner in online.learners.items()}
    runs.append(run_online(online, trial.X, trial.labels, trial.segments, *rows[1:]))
    forgotten = {}
    if config.setting == "flip":
        other = make_trial(replace(config, train_rows=0, before=0), config.seed + 1, flip=None)
        at_end = {kind: learner.serving for kind, learner in online.learners.items()}
        before, after, frozen = (
            replace(fold, models=models).predict(other.X, other.segments, LEAST_ROWS).p_up
            for models in (at_change, at_end, fold.models)
        )
        y = other.labels.y[LEAST_ROWS:]
        for number, kind in enumerate(fold.models):
            forgotten[kind] = forgetting(before[:, :, number], after[:, :, number], frozen[:, :, number], y)
    online.close()
    counts = {kind: learner.counts for kind, learner in online.learners.items()}
    said = _said(fold, runs)
    standings = _standings(config, trial, said, rows)
    return StudyResult(config, standings, forgotten, counts, _stretches(config, trial, said, rows))


def market_of(config: StudyConfig, seed: int, flip: int | None) -> SyntheticMarket:
    """The bars of a trial."""
    return synthetic_market(
        SyntheticConfig(
            setting="no_edge" if config.setting == "no_edge" else "planted_edge",
            edge_strength=config.edge_strength,
            bars=config.train_rows + config.before + config.after,
            seed=seed,
            flip_bar=flip,
        )
    )


def make_trial(config: StudyConfig, seed: int, flip: int | None) -> Trial:
    """Bars of `config`'s length, features and labels."""
    market = market_of(config, seed, flip)
    bars = market.arrays()
    labels = [fixed_horizon(bars, horizon) for horizon in config.horizons]
    return Trial(
        X=compute_features(bars, ["core"]),
        labels=LabelArrays(
            np.stack([label.values for label in labels], axis=1), np.stack([label.t1 for label in labels], axis=1)
        ),
        segments=segments(bars.open_time_ms, 60_000),
        open_time_ms=bars.open_time_ms,
        truth=np.stack([market.best_probability(horizon) for horizon in config.horizons], axis=1),
        feature_names=tuple(spec.name for spec in select_features(["core"])),
    )


def train_fold(trial: Trial, config: StudyConfig) -> TrainedFold:
    """The models on the first `train_rows` rows: the last tenth of them is the fold that training has to have."""
    rows = config.train_rows
    walk = WalkForwardConfig(
        horizons=config.horizons,
        models=config.models,
        train=config.train,
        folds=1,
        first_train_fraction=0.9,
        seed=config.seed,
    )
    known = trial.labels.t1[:rows] < rows
    with tempfile.TemporaryDirectory() as folder:
        walk_forward_predictions(
            trial.X[:rows],
            np.where(known, trial.labels.y[:rows], np.nan),
            trial.labels.t1[:rows],
            np.clip(trial.segments, 0, rows),
            trial.open_time_ms[:rows],
            walk,
            feature_names=trial.feature_names,
            out_dir=Path(folder),
        )
        return last_fold(Path(folder))


Forecasts = dict[str, tuple[np.ndarray, np.ndarray | None]]
"""By name: P(up) (N, H), and that of the frozen forecaster it is compared with."""


def _said(fold: TrainedFold, runs: list[OnlineRun]) -> Forecasts:
    """All members of the ensemble, and the ensemble."""
    serving, frozen = (np.concatenate([getattr(run, name) for run in runs]) for name in ("serving", "frozen"))
    said: Forecasts = {}
    for number, kind in enumerate(fold.models):
        said[kind] = serving[:, :, number], frozen[:, :, number]
        said[f"{kind} as trained"] = frozen[:, :, number], None
    linear = [run.linear for run in runs if run.linear is not None]
    if linear:
        said[LINEAR] = np.concatenate(linear), None
    said[ENSEMBLE] = np.concatenate([run.mixture for run in runs]), frozen[:, :, 0]
    return said


def _stretches(
    config: StudyConfig, trial: Trial, said: Forecasts, rows: tuple[int, int, int]
) -> dict[int, tuple[Significance, ...]]:
    found = {}
    for column, horizon in enumerate(config.horizons):
        members = np.stack([p_up[:, column] for name, (p_up, _) in said.items() if name != ENSEMBLE], axis=1)
        mixture, y = said[ENSEMBLE][0][:, column], trial.labels.y[rows[0] : rows[2], column]
        found[horizon] = against_best_member(mixture, members, y, horizon, config.window)
    return found


def _standings(config: StudyConfig, trial: Trial, said: Forecasts, rows: tuple[int, int, int]) -> tuple[Standing, ...]:
    """All forecasters on the rows gone over."""
    lo, change, hi = rows
    y, t1, truth = trial.labels.y[lo:hi], trial.labels.t1[lo:hi], trial.truth[lo:hi]
    changes = config.setting == "flip"
    begun = change - lo
    settled = begun + config.after // 2 if changes else (hi - lo) // 2
    found = []
    for name, (p_up, as_trained) in said.items():
        lifts = None if as_trained is None else compare(p_up, as_trained, y, t1, config.horizons)
        for column, horizon in enumerate(config.horizons):
            p, best = p_up[:, column].astype(np.float64), truth[:, column]
            known = config.setting != "no_edge"
            found.append(
                Standing(
                    name,
                    horizon,
                    before=recovered(p[:begun], best[:begun]) if known else float("nan"),
                    after=recovered(p[settled:], best[settled:]) if known else float("nan"),
                    recovery=recovery_rows(p, best, begun, config.window) if changes else None,
                    against_frozen=None if lifts is None else lifts[column],
                )
            )
    return tuple(found)
