"""Every task through a whole walk-forward run: what is learned, what balance leaves behind, what little data does."""

from dataclasses import replace

import numpy as np
import pytest

from supervised.config import ModelConfig, TaskConfig, TrainConfig, WalkForwardConfig
from supervised.outputs import Bracket
from supervised.predictions import Predictions
from supervised.walk_forward import walk_forward_predictions

ROWS, FEATURES = 6_000, 4
CONFIG = WalkForwardConfig(
    horizons=(1,),
    brackets=(Bracket(20.0, 10.0, 5),),
    models=(ModelConfig(kind="mixer", hidden=8, window=8, min_context=4),),
    train=TrainConfig(epochs=5, chunk=64, batch=3, learning_rate=1e-2, average_decay=0.8),
    folds=3,
    first_train_fraction=0.08,
    embargo_rows=5,
)


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    """Feature 0 lifts P(up), whose mean is 0.3; feature 1 the size of the move; feature 2 the chance of a stop."""
    random = np.random.default_rng(0)
    X = random.standard_normal((ROWS, FEATURES))
    p_up = 1 / (1 + np.exp(1.0 - 0.8 * X[:, 0]))
    size = 8 * np.exp(0.5 * X[:, 1])
    y = np.where(random.random(ROWS) < p_up, 1, -1) * random.exponential(size)
    p_stop = 1 / (1 + np.exp(-X[:, 2]))
    outcome = np.where(random.random(ROWS) < p_stop, -1, random.choice([0, 1], ROWS, p=[0.25, 0.75]))
    return {"X": X, "y": y, "outcome": outcome, "p_up": p_up, "size": size, "p_stop": p_stop}


@pytest.fixture(scope="module")
def runs(truth: dict[str, np.ndarray]) -> dict[bool, Predictions]:
    """By whether classes were balanced."""
    return {balance: predicted(truth, TaskConfig(balance=balance)) for balance in (False, True)}


def predicted(truth: dict[str, np.ndarray], tasks: TaskConfig) -> Predictions:
    rows = np.arange(ROWS)
    targets = np.stack([truth["y"], truth["outcome"].astype(float)], axis=1)
    targets[-2:] = np.nan
    config = replace(CONFIG, train=replace(CONFIG.train, tasks=tasks))
    ends = np.repeat(rows[:, None] + 1, 2, axis=1)
    return walk_forward_predictions(truth["X"], targets, ends, np.array([[0, ROWS]]), 60_000 * rows, config)


def column(predictions: Predictions, name: str) -> np.ndarray:
    """Of the last fold, which has seen the most."""
    return predictions.further[predictions.fold == 2, predictions.further_columns.index(name)]


@pytest.mark.parametrize("balance", [False, True])
def test_every_task_is_learned_and_says_true_probabilities(
    truth: dict[str, np.ndarray], runs: dict[bool, Predictions], balance: bool
) -> None:
    """Balanced or not: class weights shift the logits while training, and that is taken off again."""
    predictions = runs[balance]
    last = predictions.fold == 2
    p_up = predictions.values[last, 0]
    assert np.abs(p_up - truth["p_up"][last]).mean() < 0.05
    assert p_up.mean() == pytest.approx(truth["p_up"][last].mean(), abs=0.03)
    move = column(predictions, "move_mixer_h1")
    assert np.abs(np.log(move / truth["size"][last])).mean() < 0.15
    p_stop = column(predictions, "p_stop_mixer_b0")
    assert np.abs(p_stop - truth["p_stop"][last]).mean() < 0.08
    p_time, p_take = column(predictions, "p_time_mixer_b0"), column(predictions, "p_take_mixer_b0")
    assert (p_take / (p_time + p_take)).mean() == pytest.approx(0.75, abs=0.05)


def test_models_of_little_data_say_that_they_are_less_sure(runs: dict[bool, Predictions]) -> None:
    """Folds train on 1, 5 and 9 parts of the rows."""
    predictions = runs[False]
    sd = predictions.further[:, predictions.further_columns.index("sd_mixer_h1")]
    by_fold = [sd[predictions.fold == number].mean() for number in range(3)]
    assert by_fold[0] > 1.3 * by_fold[1] > 1.3 * by_fold[2] > 0
