"""Predictions hold what they say, survive the disk, and cannot be built or loaded with a leak."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.errors import InputError
from supervised.predictions import LeakError, Predictions


def fields(**changes: Any) -> dict[str, Any]:
    """Six rows: two before any fold, two in each of two folds; the second column lacks one value."""
    values = np.full((6, 2), np.nan, dtype=np.float32)
    values[2:, 0] = (0.4, 0.5, 0.6, 0.7)
    values[3:, 1] = (0.1, 0.2, 0.3)
    good = {
        "values": values,
        "columns": ("p_up_tcn_h1", "p_up_ensemble_h1"),
        "fold": np.array([-1, -1, 0, 0, 1, 1], dtype=np.int16),
        "train_cut_ms": np.array([60_000, 180_000], dtype=np.int64),
        "open_time_ms": np.arange(6, dtype=np.int64) * 60_000,
        "config_hash": "abc",
        "weights": np.linspace(0.1, 0.9, 6, dtype=np.float32)[:, None],
        "weight_columns": ("weight_tcn_h1",),
        "further": np.where(np.isfinite(values), 7.0, values),
        "further_columns": ("move_tcn_h1", "sd_tcn_h1"),
    }
    return good | changes


def test_a_round_trip_through_parquet_keeps_every_field(tmp_path: Path) -> None:
    predictions = Predictions(**fields())
    predictions.save(tmp_path / "predictions.parquet")
    loaded = Predictions.load(tmp_path / "predictions.parquet")
    for name in ("values", "fold", "train_cut_ms", "open_time_ms", "weights", "further"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(predictions, name))
        assert getattr(loaded, name).dtype == getattr(predictions, name).dtype
    for name in ("columns", "weight_columns", "further_columns", "config_hash"):
        assert getattr(loaded, name) == getattr(predictions, name)
    assert pq.read_schema(tmp_path / "predictions.parquet").field("open_time").type == pa.timestamp("ms", tz="UTC")
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


@pytest.mark.parametrize("cut", [120_000, 150_000, 10**15])
def test_a_row_at_or_before_its_training_cut_is_a_leak(cut: int) -> None:
    with pytest.raises(LeakError, match="row 2: open time 120000 is not after"):
        Predictions(**fields(train_cut_ms=np.array([cut, 180_000])))


def test_a_cut_just_before_the_fold_is_no_leak() -> None:
    Predictions(**fields(train_cut_ms=np.array([119_999, 239_999])))


@pytest.mark.parametrize("block", ["values", "further"])
def test_a_prediction_outside_every_fold_is_a_leak(block: str) -> None:
    values = fields()[block]
    values[1, 0] = 0.5
    with pytest.raises(LeakError, match="row 1: a prediction belongs to no fold"):
        Predictions(**fields(**{block: values}))


def test_only_p_up_is_needed(tmp_path: Path) -> None:
    """Neither weights nor anything further: as a single model's predictions are kept."""
    nothing = np.empty((0, 0), dtype=np.float32)
    bare = Predictions(**fields(weights=nothing, weight_columns=(), further=nothing, further_columns=()))
    bare.save(tmp_path / "predictions.parquet")
    loaded = Predictions.load(tmp_path / "predictions.parquet")
    assert loaded.weights.shape == loaded.further.shape == (0, 0)
    assert loaded.weight_columns == loaded.further_columns == ()


def test_a_leak_on_disk_is_found_when_loading(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    Predictions(**fields()).save(path)
    table = pq.read_table(path)
    late = pa.array([0, 0, 0, 0, 0, 0], pa.int16())
    pq.write_table(table.set_column(1, "fold", late), path)
    with pytest.raises(LeakError):
        Predictions.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ("one",)}, "do not fit 6 rows"),
        ({"fold": np.zeros(5, dtype=np.int16)}, "do not fit 6 rows"),
        ({"weight_columns": ("a", "b")}, "do not fit 6 rows"),
        ({"fold": np.array([-1, -1, 0, 0, 2, 2], dtype=np.int16)}, "row 4: fold 2 is not one of 2"),
        ({"fold": np.array([-2, -1, 0, 0, 1, 1], dtype=np.int16)}, "row 0: fold -2"),
        ({"values": np.full((6, 2), 1.0, dtype=np.float32)}, "are not probabilities"),
        ({"further_columns": ("move_tcn_h1",)}, "do not fit 6 rows"),
        ({"further": np.full((6, 2), -1.0, dtype=np.float32)}, "are not sizes"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Predictions(**fields(**changes))


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    foreign, text, missing = tmp_path / "foreign.parquet", tmp_path / "text.parquet", tmp_path / "missing.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    text.write_text("not parquet")
    for path in (foreign, text, missing):
        with pytest.raises(InputError, match="not a predictions file") as caught:
            Predictions.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
