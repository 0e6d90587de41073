"""Walk-forward runs: out of sample, resumable to the bit, and usable afterwards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.fold_store import load_fold
from supervised.fold_training import Progress
from supervised.outputs import Bracket
from supervised.predictions import Predictions
from supervised.walk_forward import load_ensemble, walk_forward_predictions

ROWS, HORIZONS, EMBARGO = 1600, (1, 3), 10
NAMES = ("a", "b", "c")
SMALL = {"hidden": 8, "window": 8, "min_context": 4}
BRACKET = Bracket(take_profit_bps=1.0, stop_loss_bps=1.0, ttl_bars=2)
CONFIG = WalkForwardConfig(
    horizons=HORIZONS,
    brackets=(BRACKET,),
    models=(ModelConfig(kind="tcn", **SMALL), ModelConfig(kind="lstm", **SMALL)),
    train=TrainConfig(epochs=2, chunk=64, batch=1, learning_rate=1e-2, average_decay=0.8),
    folds=3,
    first_train_fraction=0.4,
    embargo_rows=EMBARGO,
)
Arrays = dict[str, np.ndarray]


def arrays(seed: int = 0) -> Arrays:
    """A gap at row 900, warm-up after every start, labels that end inside the stretch or are unknown.

    The bracket's outcome is decided by the next move: at once, or by time-out.
    """
    random = np.random.default_rng(seed)
    segments = np.array([[0, 900], [900, ROWS]])
    X = random.standard_normal((ROWS, 3))
    move = np.roll(X[:, 0], 1) + random.standard_normal(ROWS)
    y = np.full((ROWS, len(HORIZONS) + 1), np.nan)
    t1 = np.full((ROWS, len(HORIZONS) + 1), ROWS)
    for start, stop in segments:
        rows = np.arange(start, stop - BRACKET.ttl_bars - 1)
        first = move[rows + 1]
        y[rows, -1] = np.where(np.abs(first) > 1, np.sign(first), 0)
        t1[rows, -1] = rows + np.where(np.abs(first) > 1, 1, 1 + BRACKET.ttl_bars)
    for column, horizon in enumerate(HORIZONS):
        for start, stop in segments:
            rows = np.arange(start, stop - horizon - 1)
            y[rows, column] = move[rows[:, None] + 1 + np.arange(horizon)].sum(axis=1)
            t1[rows, column] = rows + 1 + horizon
    for start, _ in segments:
        X[start : start + 6] = np.nan
    open_time_ms = 60_000 * (np.arange(ROWS) + 500 * (np.arange(ROWS) >= 900))
    return {"X": X, "y": y, "t1": t1, "segments": segments, "open_time_ms": open_time_ms}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictions, Path]:
    out_dir = tmp_path_factory.mktemp("walk")
    return walk_forward_predictions(**arrays(), config=CONFIG, out_dir=out_dir, feature_names=NAMES), out_dir


def same(one: Predictions, other: Predictions) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name in ("values", "weights", "further"))
        for name in ("values", "fold", "train_cut_ms", "open_time_ms", "weights", "further")
    )


def test_what_comes_out(finished: tuple[Predictions, Path]) -> None:
    predictions, out_dir = finished
    assert predictions.columns == (
        *("p_up_tcn_h1", "p_up_lstm_h1", "p_up_tcn_h3", "p_up_lstm_h3"),
        *("p_up_ensemble_h1", "p_up_ensemble_h3"),
    )
    further = ("move_{}_h1", "move_{}_h3", "p_stop_{}_b0", "p_time_{}_b0", "p_take_{}_b0", "sd_{}_h1", "sd_{}_h3")
    assert predictions.further_columns == tuple(name.format(kind) for kind in ("tcn", "lstm") for name in further)
    assert predictions.weight_columns == ("weight_tcn_h1", "weight_lstm_h1", "weight_tcn_h3", "weight_lstm_h3")
    start = int(ROWS * 0.4)
    np.testing.assert_array_equal(np.flatnonzero(predictions.fold >= 0), np.arange(start, ROWS))
    silent = np.r_[:start, 900 : 900 + 6 + SMALL["min_context"]]  # before the folds; warm-up and context after the gap
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(predictions.values).all(axis=1)), silent)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(predictions.values).any(axis=1)), silent)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(predictions.further).all(axis=1)), silent)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(predictions.further).any(axis=1)), silent)
    np.testing.assert_allclose(predictions.weights.reshape(ROWS, 2, 2).sum(axis=2), 1.0, rtol=1e-6)
    known = arrays()["y"][:, 0]
    counted = np.isfinite(known) & np.isfinite(predictions.values[:, 0])
    hits = (predictions.values[:, 4] > 0.5) == (known > 0)
    assert hits[counted].mean() > 0.65
    outcome = arrays()["y"][:, 2]
    judged = np.isfinite(outcome) & np.isfinite(predictions.further[:, 0])
    said = predictions.further[judged, 2:5]
    np.testing.assert_allclose(said.sum(axis=1), 1.0, rtol=1e-5)
    assert (said.argmax(axis=1) - 1 == outcome[judged]).mean() > 0.5  # always calling time-out is right in 0.38
    assert same(Predictions.load(out_dir / "predictions.parquet"), predictions)


def test_no_fold_saw_a_label_that_ends_near_it(finished: tuple[Predictions, Path]) -> None:
    predictions, _ = finished
    times = predictions.open_time_ms
    for number, cut in enumerate(predictions.train_cut_ms):
        first = int(np.flatnonzero(predictions.fold == number)[0])
        assert times[first - EMBARGO] > cut >= times[first - EMBARGO - 2]


def test_what_happens_from_the_embargo_on_changes_nothing_before_the_fold_ends() -> None:
    """Other features after row `now`, other labels that end after it: every prediction up to `now` keeps its bits.

    `now` lies inside the last fold; the labels of the last training rows that reach into the embargo change too.
    """
    data, other = arrays(), arrays(seed=1)
    now = 1500
    changed = {name: value.copy() for name, value in data.items()}
    changed["X"][now + 1 :] = other["X"][now + 1 :]
    changed["y"][data["t1"] > now] = other["y"][data["t1"] > now]
    before, after = (walk_forward_predictions(**case, config=CONFIG) for case in (data, changed))
    assert before.config_hash != after.config_hash
    np.testing.assert_array_equal(before.values[: now + 1], after.values[: now + 1])
    np.testing.assert_array_equal(before.further[: now + 1], after.further[: now + 1])
    np.testing.assert_array_equal(before.weights[: now + 1], after.weights[: now + 1])
    assert not np.array_equal(before.values[now + 1 :], after.values[now + 1 :], equal_nan=True)

    last = int(np.flatnonzero(before.fold == CONFIG.folds - 1)[0])
    poisoned = {name: value.copy() for name, value in data.items()}
    poisoned["y"][data["t1"] >= last - EMBARGO] *= -1
    members = slice(0, 4)  # the ensemble may learn from those labels as they end, the members may not
    after = walk_forward_predictions(**poisoned, config=CONFIG)
    np.testing.assert_array_equal(after.values[:, members], before.values[:, members])
    np.testing.assert_array_equal(after.further, before.further)
    poisoned["y"][data["t1"] >= last - EMBARGO - 400] *= -1
    after = walk_forward_predictions(**poisoned, config=CONFIG)
    assert not np.array_equal(after.values[last:, members], before.values[last:, members], equal_nan=True)
    outcomes = np.arange(ROWS)[:, None] + np.array([ROWS, ROWS, 0]) < last - EMBARGO - 10
    poisoned = data | {"y": np.where(outcomes, -data["y"], data["y"])}  # the outcomes only, well before the cut
    after = walk_forward_predictions(**poisoned, config=CONFIG)
    assert not np.array_equal(after.further[last:], before.further[last:], equal_nan=True)


class Killed(BaseException):
    """Stands for whatever ends the process."""


def test_a_killed_run_goes_on_and_ends_the_same(finished: tuple[Predictions, Path], tmp_path: Path) -> None:
    seen: list[Progress] = []

    def kill_in_fold_1(progress: Progress) -> None:
        seen.append(progress)
        if progress.fold == 1 and progress.model == "lstm":
            raise Killed

    with pytest.raises(Killed):
        walk_forward_predictions(
            **arrays(), config=CONFIG, out_dir=tmp_path, feature_names=NAMES, progress=kill_in_fold_1
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold_0", "unfinished"]
    (tmp_path / ".fold_1.tmp").mkdir()  # as a kill in the middle of writing leaves it
    (tmp_path / ".fold_1.tmp" / "fold.json").write_text("{")

    resumed: list[Progress] = []
    found = walk_forward_predictions(
        **arrays(), config=CONFIG, out_dir=tmp_path, feature_names=NAMES, progress=resumed.append
    )
    assert (resumed[0].fold, resumed[0].model, resumed[0].epoch.number) == (1, "lstm", 2)  # what was done stays done
    assert [(p.fold, p.model, p.epoch.number) for p in seen[:3]] == [(0, "tcn", 1), (0, "tcn", 2), (0, "lstm", 1)]
    assert same(found, finished[0])
    assert load_ensemble(tmp_path, CONFIG).to_dict() == load_ensemble(finished[1], CONFIG).to_dict()
    assert not (tmp_path / ".fold_1.tmp").exists()
    assert not (tmp_path / "unfinished").exists()


def test_a_folder_of_other_data_or_settings_is_refused(finished: tuple[Predictions, Path]) -> None:
    _, out_dir = finished
    with pytest.raises(InputError, match="fold_0: it was made from other data or settings"):
        walk_forward_predictions(**arrays(), config=replace(CONFIG, seed=1), out_dir=out_dir)
    with pytest.raises(InputError, match="other data or settings"):
        walk_forward_predictions(**arrays(seed=2), config=CONFIG, out_dir=out_dir)


def test_a_loaded_fold_predicts_what_it_predicted(finished: tuple[Predictions, Path]) -> None:
    predictions, out_dir = finished
    data = arrays()
    last = load_fold(out_dir, CONFIG.folds - 1)
    rows = np.flatnonzero(predictions.fold == CONFIG.folds - 1)
    assert last.config == CONFIG
    assert last.feature_names == ("a", "b", "c")
    assert set(last.history) == {"tcn", "lstm"}
    again = last.predict(data["X"], data["segments"], int(rows[0]), int(rows[-1]) + 1)
    np.testing.assert_array_equal(again.p_up.reshape(len(rows), -1), predictions.values[rows, :4])
    recent = last.predict(data["X"][-80:], np.array([[0, 80]]), 79)
    # The LSTM warmed up otherwise.
    np.testing.assert_allclose(recent.p_up[0].ravel(), predictions.values[-1, :4], atol=0.02)
    np.testing.assert_allclose(recent.p_up[0, :, 0], predictions.values[-1, [0, 2]], atol=1e-6)


def test_the_scaler_saw_training_rows_only(finished: tuple[Predictions, Path]) -> None:
    data = arrays()
    fold = load_fold(finished[1], 0)
    rows = data["X"][fold.fold.train_start : fold.fold.validation_start]
    np.testing.assert_allclose(fold.scaler.mean, np.nanmean(rows, axis=0))


def test_a_damaged_fold_is_named(finished: tuple[Predictions, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fold_7: not a complete trained fold"):
        load_fold(finished[1], 7)
    walk_forward_predictions(**arrays(), config=replace(CONFIG, folds=1), out_dir=tmp_path)
    (tmp_path / "fold_0" / "lstm.pt").write_bytes(b"short")
    with pytest.raises(InputError, match="fold_0: not a complete trained fold"):
        load_fold(tmp_path, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.full((ROWS, 4), np.nan), "t1": np.full((ROWS, 4), ROWS)}, "4 columns for horizons"),
        ({"X": np.zeros((ROWS - 1, 3))}, "do not fit"),
        ({"X": np.full((ROWS, 3), [0.0, np.nan, 0.0])}, r"columns without a single value: \[1\]"),
        ({"open_time_ms": np.zeros(ROWS, dtype=np.int64)}, "not one increasing time per row"),
        ({"segments": np.array([[0, 900], [800, ROWS]])}, "not ascending"),
        ({"t1": np.zeros((ROWS, 3), dtype=np.int64)}, "row 0 column 0: a known label ends at row 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: Arrays, message: str) -> None:
    with pytest.raises(InputError, match=message):
        walk_forward_predictions(**(arrays() | changes), config=CONFIG)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="device 'nonsense': no such device"):
        walk_forward_predictions(**arrays(), config=CONFIG, device="nonsense")
