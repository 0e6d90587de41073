"""Training: learns what can be learned, from allowed labels only, reproducibly, and can be interrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.calibration import fit_temperature
from supervised.chunk_set import ChunkSet, LabelledRows, labelled_chunks
from supervised.config import MODEL_KINDS, ModelConfig, TaskConfig, TrainConfig
from supervised.devices import torch_threads
from supervised.fit_state import Epoch, copy_state
from supervised.forecasting import predict
from supervised.models import build_model
from supervised.outputs import OutputLayout
from supervised.training import fit

ROWS, FEATURES, CONTEXT = 3000, 4, 5
QUICK = TrainConfig(epochs=8, chunk=64, batch=2, learning_rate=1e-2, average_decay=0.8)
LAYOUT = OutputLayout((1,))
RUNS = np.array([[0, 1400], [1450, ROWS]])


def small(kind: str) -> CausalModel:
    return build_model(ModelConfig(kind=kind, hidden=8, window=8), FEATURES, LAYOUT, seed=1)


def task(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, training and validation labels: the label is the sum of feature 0 over three rows, and noise."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((ROWS, FEATURES)).astype(np.float32)
    signal = np.convolve(X[:, 0], np.ones(3))[:ROWS]
    y = (signal + random.standard_normal(ROWS)).astype(np.float32)[:, None]
    train, validation = y.copy(), y.copy()
    train[2000:] = np.nan
    validation[:2010] = np.nan
    validation[2600:] = np.nan
    return X, train, validation


def chunk_sets(
    model: CausalModel,
    X: np.ndarray,
    y: np.ndarray,
    validation: np.ndarray,
    config: TrainConfig = QUICK,
    runs: np.ndarray = RUNS,
) -> tuple[ChunkSet, ChunkSet]:
    """What to train on and what to be judged by: all labels that are not NaN."""
    ends = np.broadcast_to(np.arange(1, len(X) + 1)[:, None], y.shape)
    context = model.receptive_field - 1

    def chunks(name: str, targets: np.ndarray) -> ChunkSet:
        rows = [LabelledRows(X, targets, ends, runs, 0, len(X) + 1)]
        return labelled_chunks(name, rows, model.layout, context=context, length=config.chunk, min_context=CONTEXT)

    return chunks("training", y), chunks("validation", validation)


def train(kind: str, *arrays: np.ndarray, config: TrainConfig = QUICK) -> tuple[CausalModel, list[Epoch]]:
    model = small(kind)
    return model, fit(model, *chunk_sets(model, *arrays, config), config, seed=7)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_models_learn_a_rule_over_several_rows(kind: str) -> None:
    X, y, validation = task()
    model, history = train(kind, X, y, validation)
    assert history[-1].validation_loss < 0.5 < history[0].train_loss  # a coin has 0.69, the rule itself about 0.42
    probability = predict(model, X, RUNS, 2600, ROWS, QUICK, min_context=CONTEXT)[:, 0]
    truth = np.convolve(X[:, 0], np.ones(3))[2600:ROWS] > 0
    assert ((probability > 0.5) == truth).mean() > 0.85


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_training_is_reproducible_and_leaves_the_random_state_alone(kind: str) -> None:
    arrays = task()
    first = copy_state(train(kind, *arrays)[0])
    torch.rand(5)  # the second training meets another global state, and leaves it as it is
    state = torch.random.get_rng_state()
    second = copy_state(train(kind, *arrays)[0])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rows_without_an_allowed_label_and_rows_after_them_do_not_matter() -> None:
    """Features past the last label and rows in the gap may be anything: the model keeps its bits."""
    X, y, validation = task()
    expected = copy_state(train("tcn", X, y, validation)[0])
    X[2600:] = 1e6
    X[1400:1450] = np.nan
    found = copy_state(train("tcn", X, y, validation)[0])
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_label_of_zero_says_nothing_of_the_direction() -> None:
    X, y, validation = task()
    config = replace(QUICK, tasks=TaskConfig(move=0.0))
    said = []
    for nothing in (0.0, np.nan):
        y[100:200] = nothing
        model, _ = train("tcn", X, y, validation, config=config)
        said.append(predict(model, X, RUNS, 0, ROWS, config, min_context=CONTEXT)[:, LAYOUT.direction])
    np.testing.assert_array_equal(*said)


def test_the_best_weights_are_kept_and_training_stops_early() -> None:
    X, y, validation = task()
    random_labels = np.random.default_rng(3).standard_normal(y.shape).astype(np.float32)
    validation = np.where(np.isnan(validation), validation, random_labels)  # nothing that is learned helps
    config = TrainConfig(epochs=30, patience=2, chunk=64, batch=8, learning_rate=1e-2, average_decay=0.0)
    model, history = train("tcn", X, y, validation, config=config)
    losses = [epoch.validation_loss for epoch in history]
    assert len(history) == int(np.argmin(losses)) + 1 + config.patience < config.epochs
    p_up = predict(model, X, RUNS, 2010, 2600, config, min_context=CONTEXT)[:, :1]
    kept = -np.log(np.where(validation[2010:2600] > 0, p_up, 1 - p_up)).mean()
    assert kept < min(losses) + 1e-6 < losses[-1]  # the temperature, fitted on the same rows, only lowers it


def test_a_keyboard_interrupt_passes_through() -> None:
    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    model = small("lstm")
    with pytest.raises(KeyboardInterrupt):
        fit(model, *chunk_sets(model, *task()), QUICK, seed=0, progress=interrupt)
    assert torch.get_num_threads() == threads


def test_nothing_to_learn_from_is_an_input_error() -> None:
    X, y, validation = task()
    with pytest.raises(InputError, match="no training row has a known label"):
        train("tcn", X, np.full_like(y, np.nan), validation)
    with pytest.raises(InputError, match="no validation row has a known label"):
        train("tcn", X, y, np.zeros_like(validation))
    with pytest.raises(InputError, match="5 complete rows before it"):
        chunk_sets(small("tcn"), X, y, validation, runs=np.array([[0, 4], [2100, 2500]]))


def test_weighting_by_move_prefers_the_large_moves() -> None:
    """Large moves follow feature 0, many small ones go against it: the weighted model sides with the large."""
    random = np.random.default_rng(0)
    X = random.standard_normal((ROWS, FEATURES)).astype(np.float32)
    large = random.random(ROWS) < 0.3
    y = np.where(large, 10.0, -0.1) * np.sign(X[:, 0])
    labels = y.astype(np.float32)[:, None]
    later = np.where(np.arange(ROWS)[:, None] >= 2000, labels, np.float32(np.nan))
    slope = {}
    for weighted in (False, True):
        config = TrainConfig(
            epochs=2,
            chunk=64,
            batch=8,
            learning_rate=1e-2,
            tasks=TaskConfig(weight_by_move=weighted),
            average_decay=0.0,
        )
        model = small("tcn")
        fit(model, *chunk_sets(model, X, labels, later, config), config, seed=0)
        p = predict(model, X, RUNS, 100, 1400, config, min_context=CONTEXT)[:, 0]
        slope[weighted] = np.corrcoef(p, X[100:1400, 0])[0, 1]
    assert slope[False] < -0.3
    assert slope[True] > 0.3


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_predictions_do_not_notice_later_rows_or_their_absence(kind: str) -> None:
    X, *_ = task()
    model = small(kind).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    whole = predict(model, X, RUNS, 1000, ROWS, QUICK, min_context=CONTEXT)
    for cut in (1390, 2000, 2100):
        changed = X.copy()
        changed[cut:] = 5.0
        np.testing.assert_array_equal(
            predict(model, changed, RUNS, 1000, ROWS, QUICK, min_context=CONTEXT)[: cut - 1000], whole[: cut - 1000]
        )
        shorter = np.array([[start, min(stop, cut)] for start, stop in RUNS if start < cut])
        np.testing.assert_array_equal(
            predict(model, X[:cut], shorter, 1000, cut, QUICK, min_context=CONTEXT), whole[: cut - 1000]
        )
    outside = np.r_[400 : 450 + CONTEXT]
    assert np.isnan(whole[outside]).all()
    assert np.isfinite(np.delete(whole, outside, axis=0)).all()


@pytest.mark.parametrize("kind", ["tcn", "transformer", "mixer"])
def test_chunked_predictions_equal_one_pass_over_the_run(kind: str) -> None:
    X, *_ = task()
    model = small(kind).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    chunked = predict(model, X, RUNS, 1450, ROWS, QUICK, min_context=0)[:, :1]
    with torch.inference_mode():
        whole = torch.sigmoid(model(torch.from_numpy(X[None, 1450:]))[0, :, :1]).numpy()
    np.testing.assert_allclose(chunked, whole, atol=1e-6)


def test_the_lstm_forgets_where_its_chunk_began() -> None:
    """Its memory has no sharp end, so chunks must be seen to differ little from one pass, once it is trained."""
    X, y, validation = task()
    model, _ = train("lstm", X, y, validation)
    chunked = predict(model, X, RUNS, 1450, ROWS, QUICK, min_context=0)[:, :1]
    with torch.inference_mode():
        whole = torch.sigmoid(model(torch.from_numpy(X[None, 1450:]))[0, :, :1]).numpy()
    assert np.abs(chunked - whole).max() < 0.05


def test_temperature_recovers_a_known_factor() -> None:
    random = np.random.default_rng(0)
    logits = random.standard_normal((20_000, 2))
    up = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    labels = torch.from_numpy(np.where(up, 3.0, -0.5))
    labels[:10] = torch.nan
    found = fit_temperature(torch.from_numpy(np.c_[logits * [3.0, 0.5], logits]), labels, OutputLayout((1, 5)))
    np.testing.assert_allclose(found.numpy(), [3.0, 0.5, 1.0, 1.0], rtol=0.05)
    nothing = fit_temperature(torch.zeros(3, 2), torch.full((3, 1), torch.nan), LAYOUT)
    np.testing.assert_array_equal(nothing, 1.0)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
