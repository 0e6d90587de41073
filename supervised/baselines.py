"""What a model of the direction must beat: the same rows, the same folds, purge and embargo, and far less thought.

majority     P(up) is the share of ups among the fold's training labels
persistence  the last move goes on: its sign, with the probability that this held with in training, at least one half
reversal     the last move is undone, likewise
logistic     ridge-penalised logistic regression on the scaled features, the penalty chosen as models stop early
lightgbm     boosted trees on the same features, stopped early likewise (an optional dependency)

All give probabilities, so that their log-loss compares with a model's. What is fitted sees the labels that a model of
the fold sees, validation stretch included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from data_pipeline.errors import InputError
from features.scaling import Scaler
from supervised.config import WalkForwardConfig
from supervised.dataset import Dataset
from supervised.predictions import Predictions
from supervised.splits import Fold, last_end, plan_folds, purge

Floats = NDArray[np.float64]
BaselineKind = Literal["majority", "persistence", "reversal", "logistic", "lightgbm"]

LEAST = 1e-6
"""No probability is nearer to 0 or 1: one surprise must not cost an infinite log-loss."""
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)
"""Ridge penalties on the mean log-loss, of which the validation stretch chooses one."""
TREES = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""Settings of the boosted trees: slow and shallow, as data with so little signal asks for."""
MOST_ROUNDS, PATIENCE = 400, 40


@dataclass(frozen=True, slots=True)
class Baseline:
    """One baseline and what it sees."""

    name: str
    """Names its column, `p_up_{name}_h{horizon}`."""
    kind: BaselineKind
    columns: tuple[int, ...] = ()
    """Feature columns that it sees; empty: all."""


CHEAP = tuple(Baseline(kind, kind) for kind in ("majority", "persistence", "reversal", "logistic"))
"""Those that need nothing but what the suite needs anyway, and seconds."""


def past_moves(price: Floats, horizons: Sequence[int], segments: NDArray[np.int64]) -> Floats:
    """Log return over the h rows up to each row, the last one that was not zero; float64 (T, H).

    price: float64 (T,), known at each row. segments: int64 (K, 2) [start, stop) rows without a gap; nothing is carried
    across one: NaN until a segment has moved over h rows.
    """
    moves = np.full((len(price), len(horizons)), np.nan)
    log_price = np.log(price)
    for start, stop in segments:
        for column, horizon in enumerate(horizons):
            change = log_price[start + horizon : stop] - log_price[start : max(stop - horizon, start)]
            rows = np.maximum.accumulate(np.where(change != 0.0, np.arange(len(change)), -1))
            moves[start + horizon : stop, column] = np.where(rows >= 0, change[rows], np.nan)
    return moves


def baseline_predictions(
    data: Dataset,
    past: Floats,
    config: WalkForwardConfig,
    baselines: Sequence[Baseline] = CHEAP,
    *,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """P(up) of each baseline at every complete row of every fold of `config`.

    data: as the models get it; of its label columns the first H, the returns, are used. past: float (T, H), moves known
    at each row (`past_moves`), NaN unknown. `progress` is told each fold's number once it is done. Columns are
    `p_up_{name}_h{horizon}`, the horizons outermost.

    Raises InputError when there is no training label to fit on, and for "lightgbm" without LightGBM.
    """
    rows, horizons = len(data.X), len(config.horizons)
    values = np.full((rows, horizons, len(baselines)), np.nan, dtype=np.float32)
    number = np.full(rows, -1, dtype=np.int16)
    cuts = []
    for fold in plan_folds(rows, config):
        y, t1 = data.y[:, :horizons], data.t1[:, :horizons]
        y_train = purge(y, t1, fold.train_start, fold.validation_start)
        y_validation = purge(y, t1, fold.validation_start, fold.cut)
        X = fold_scaler(data, fold).transform(data.X)
        for column in range(horizons):
            task = _Task(
                X, past[:, column], y_train[:, column], y_validation[:, column], data.complete, fold, config.seed
            )
            for k, baseline in enumerate(baselines):
                p = np.clip(FITS[baseline.kind](task, baseline), LEAST, 1 - LEAST)
                values[task.asked, column, k] = p
        number[fold.start : fold.stop] = fold.number
        cuts.append(int(data.open_time_ms[last_end(t1, y_train, y_validation)]))
        if progress is not None:
            progress(fold.number)
    return Predictions(
        values=values.reshape(rows, -1),
        columns=tuple(f"p_up_{baseline.name}_h{horizon}" for horizon in config.horizons for baseline in baselines),
        fold=number,
        train_cut_ms=np.array(cuts, dtype=np.int64),
        open_time_ms=data.open_time_ms,
        config_hash=data.fingerprint(config),
    )


def fold_scaler(data: Dataset, fold: Fold) -> Scaler:
    """The scaler of the fold's models: fitted on complete rows before its validation stretch."""
    training = np.flatnonzero(data.complete[fold.train_start : fold.validation_start]) + fold.train_start
    return Scaler.fit(data.X, training)


class _Task:
    """One horizon of one fold: what is known, and the rows asked about."""

    def __init__(
        self,
        X: NDArray[np.float32],
        past: Floats,
        y_train: NDArray[np.float32],
        y_validation: NDArray[np.float32],
        complete: NDArray[np.bool_],
        fold: Fold,
        seed: int,
    ) -> None:
        self.X, self.past, self.seed = X, past, seed
        self.train, self.validation = (_known(y, complete) for y in (y_train, y_validation))
        self.both = np.concatenate([self.train, self.validation])
        if min(len(self.train), len(self.validation)) == 0:
            raise InputError(
                "no label is known on complete rows",
                where=f"baselines, fold {fold.number}",
                remedy="give more rows, or shorter horizons",
            )
        self.up = np.where(np.isfinite(y_train), y_train, y_validation) > 0
        self.asked = fold.start + np.flatnonzero(complete[fold.start : fold.stop])

    @property
    def base_rate(self) -> float:
        """Share of ups, one half counted in so that it is never certain."""
        return (float(self.up[self.both].sum()) + 0.5) / (len(self.both) + 1.0)


def _known(y: NDArray[np.float32], complete: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isfinite(y) & (y != 0) & complete)


def _majority(task: _Task, _: Baseline) -> Floats:
    return np.full(len(task.asked), task.base_rate)


def _sign(task: _Task, direction: float) -> Floats:
    """The last move's sign times `direction`; the base rate where there has been no move."""
    called = np.sign(task.past) * direction
    rows = task.both[np.isfinite(called[task.both])]
    held = (float(((called[rows] > 0) == task.up[rows]).sum()) + 0.5) / (len(rows) + 1.0)
    sure = max(held, 0.5 + LEAST) - 0.5  # a rule that failed in training is still that rule, hardly trusted
    p = 0.5 + sure * called[task.asked]
    return np.where(np.isfinite(p), p, task.base_rate)


def _persistence(task: _Task, _: Baseline) -> Floats:
    return _sign(task, 1.0)


def _reversal(task: _Task, _: Baseline) -> Floats:
    return _sign(task, -1.0)


def _logistic(task: _Task, baseline: Baseline) -> Floats:
    X = _seen(task, baseline)
    path, losses = [np.zeros(X.shape[1] + 1)], []
    for penalty in PENALTIES:  # each fit starts where the stronger penalty's ended
        path.append(fit_logistic(X[task.train], task.up[task.train], penalty, path[-1]))
        z = logits(path[-1], X[task.validation])
        losses.append(np.logaddexp(0.0, np.where(task.up[task.validation], -z, z)).mean())
    best = int(np.argmin(losses))
    weights = fit_logistic(X[task.both], task.up[task.both], PENALTIES[best], path[best + 1])
    return expit(logits(weights, X[task.asked]))


def _lightgbm(task: _Task, baseline: Baseline) -> Floats:
    try:
        import lightgbm
    except ImportError as error:
        raise InputError(
            "LightGBM is not installed",
            where=f"baseline {baseline.name!r}",
            remedy="pip install 'crypto-scalping-suite[learning]', or leave the baseline out",
        ) from error
    X = _seen(task, baseline)
    train = lightgbm.Dataset(X[task.train], task.up[task.train].astype(np.float32), free_raw_data=False)
    validation = lightgbm.Dataset(X[task.validation], task.up[task.validation].astype(np.float32), reference=train)
    settings: dict[str, Any] = {**TREES, "seed": task.seed}
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    trees = lightgbm.train(settings, train, MOST_ROUNDS, valid_sets=[validation], callbacks=[stop])
    return np.asarray(trees.predict(X[task.asked], num_iteration=trees.best_iteration, num_threads=1))


FITS: dict[BaselineKind, Callable[[_Task, Baseline], Floats]] = {
    "majority": _majority,
    "persistence": _persistence,
    "reversal": _reversal,
    "logistic": _logistic,
    "lightgbm": _lightgbm,
}


def _seen(task: _Task, baseline: Baseline) -> NDArray[np.float32]:
    return task.X[:, baseline.columns] if baseline.columns else task.X


def fit_logistic(X: NDArray[np.floating], up: NDArray[np.bool_], penalty: float, start: Floats) -> Floats:
    """Weights of the columns and, last, the intercept, float64 (F + 1,): the least mean log-loss plus
    penalty / 2 · |weights|², the intercept left free, found by Newton steps within a trust region from `start`.
    X float (n, F), up bool (n,), penalty above 0.
    """
    inputs = np.column_stack([X, np.ones(len(X))]).astype(np.float64)
    ridge = np.append(np.full(X.shape[1], penalty), 0.0)
    signed = np.where(up, 1.0, -1.0)

    def value(w: Floats) -> tuple[float, Floats]:
        margin = signed * (inputs @ w)
        gradient = -inputs.T @ (signed * expit(-margin)) / len(up) + ridge * w
        return float(np.logaddexp(0.0, -margin).mean() + 0.5 * (ridge * w * w).sum()), gradient

    def curvature(w: Floats) -> Floats:
        p = expit(inputs @ w)
        return (inputs * (p * (1 - p))[:, None]).T @ inputs / len(up) + np.diag(ridge)

    found = minimize(value, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-6})
    return found.x


def logits(weights: Floats, X: NDArray[np.floating]) -> Floats:
    """Of P(up) by `fit_logistic`'s weights, float64 (n,)."""
    return X.astype(np.float64) @ weights[:-1] + weights[-1]
