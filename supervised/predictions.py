"""Out-of-sample predictions, and the check that they are out of sample."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path

FORMAT = 2
METADATA_KEY = b"predictions"


class LeakError(InputError):
    """Predictions that their model could have known the answer to."""


def _refuse(what: str, place: str, remedy: str) -> NoReturn:
    raise InputError(what, where=f"predictions{place}", remedy=remedy)


def _no_columns() -> np.ndarray:
    return np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Predictions:
    """P(up) for every row of a market, each from models trained only on what was known before the row's fold began.

    Built or loaded, every instance has passed the same checks: shapes and ranges (InputError), and for each row
    `open_time_ms > train_cut_ms[fold]`, no prediction outside a fold (LeakError).
    """

    values: np.ndarray
    """float32 (T, K): P(up) in (0, 1); NaN outside the folds and where features or context were missing."""
    columns: tuple[str, ...]
    """K names: `p_up_{model}_h{horizon}`, then `p_up_ensemble_h{horizon}`."""
    fold: np.ndarray
    """int16 (T,): fold of each row, -1 before the first."""
    train_cut_ms: np.ndarray
    """int64 (n_folds,): when the last label that the fold's models saw had ended (UTC milliseconds)."""
    open_time_ms: np.ndarray
    """int64 (T,): open time of each row's bar."""
    config_hash: str = ""
    """Of the settings and the data that made them."""
    weights: np.ndarray = field(default_factory=_no_columns)
    """float32 (T, W): the ensemble's weight of each member before the row; (0, 0) when there is no ensemble."""
    weight_columns: tuple[str, ...] = ()
    """W names: `weight_{model}_h{horizon}`."""
    further: np.ndarray = field(default_factory=_no_columns)
    """float32 (T, E): what else the members said, finite where they said anything; (0, 0) when it was not kept."""
    further_columns: tuple[str, ...] = ()
    """E names, model by model: `move_{model}_h{horizon}` expected absolute return (bps), `p_stop_{model}_b{bracket}`,
    `p_time_…`, `p_take_…` probabilities of the outcomes, `sd_{model}_h{horizon}` uncertainty of the logit of P(up)."""

    def __post_init__(self) -> None:
        rows, cuts = len(self.open_time_ms), len(self.train_cut_ms)
        optional = ((self.weights, self.weight_columns), (self.further, self.further_columns))
        blocks = [(self.values, self.columns), *((block, names) for block, names in optional if names)]
        if self.fold.shape != (rows,) or any(block.shape != (rows, len(names)) for block, names in blocks):
            shapes = [block.shape for block, _ in blocks]
            _refuse(f"blocks {shapes} and fold {self.fold.shape} do not fit {rows} rows", "", "give one row per bar")
        for row in np.flatnonzero((self.fold < -1) | (self.fold >= cuts))[:1]:
            _refuse(
                f"fold {self.fold[row]} is not one of {cuts}", f" row {row}", "number folds from 0, rows outside -1"
            )
        for row in np.flatnonzero(((self.values <= 0) | (self.values >= 1)).any(axis=1))[:1]:
            _refuse(f"{self.values[row]} are not probabilities", f" row {row}", "use (0, 1), NaN where there is none")
        inside = np.flatnonzero(self.fold >= 0)
        late = inside[self.open_time_ms[inside] <= self.train_cut_ms[self.fold[inside]]]
        for row in late[:1]:
            time, cut = self.open_time_ms[row], self.train_cut_ms[self.fold[row]]
            raise LeakError(
                f"open time {time} is not after {cut}, the training cut of fold {self.fold[row]}",
                where=f"predictions row {row}",
                remedy="train each fold only on labels that ended before it began",
            )
        said = np.isfinite(self.values).any(axis=1)
        if self.further_columns:
            for row in np.flatnonzero((self.further < 0).any(axis=1))[:1]:
                _refuse(f"{self.further[row]} are not sizes", f" row {row}", "use 0 or above, NaN where there is none")
            said = said | np.isfinite(self.further).any(axis=1)
        for row in np.flatnonzero((self.fold < 0) & said)[:1]:
            raise LeakError(
                "a prediction belongs to no fold",
                where=f"predictions row {row}",
                remedy="predict only rows that come after a fold's training cut",
            )

    def save(self, path: Path) -> None:
        """Write a Parquet file, atomically; the training cuts and the hash travel in its metadata."""
        arrays = {
            "open_time": pa.array(self.open_time_ms, pa.timestamp("ms", tz="UTC")),
            "fold": pa.array(self.fold, pa.int16()),
        }
        blocks = (
            (self.columns, self.values),
            (self.weight_columns, self.weights),
            (self.further_columns, self.further),
        )
        for names, block in blocks:
            for number, name in enumerate(names):
                arrays[name] = pa.array(block[:, number], pa.float32())
        about = {
            "format": FORMAT,
            "train_cut_ms": self.train_cut_ms.tolist(),
            "config_hash": self.config_hash,
            "columns": self.columns,
            "weight_columns": self.weight_columns,
            "further_columns": self.further_columns,
        }
        table = pa.table(arrays).replace_schema_metadata({METADATA_KEY: json.dumps(about).encode()})
        with atomic_path(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote; the checks are made again. Raises InputError on any other file."""
        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {})[METADATA_KEY])
            known_format = about["format"] == FORMAT
        except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
            raise InputError(
                f"not a predictions file ({type(error).__name__})",
                where=str(path),
                remedy="give a file that Predictions.save wrote",
            ) from error
        if not known_format:
            raise InputError(
                f"predictions format {about['format']} is unknown", where=str(path), remedy="make the predictions again"
            )
        return cls(
            values=_block(table, about["columns"]),
            columns=tuple(about["columns"]),
            fold=table["fold"].to_numpy(),
            train_cut_ms=np.array(about["train_cut_ms"], dtype=np.int64),
            open_time_ms=table["open_time"].cast(pa.int64()).to_numpy(),
            config_hash=about["config_hash"],
            weights=_block(table, about["weight_columns"]),
            weight_columns=tuple(about["weight_columns"]),
            further=_block(table, about["further_columns"]),
            further_columns=tuple(about["further_columns"]),
        )


def column_names(prefix: str, horizons: tuple[int, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    """`{prefix}_{member}_h{horizon}`, the horizons outermost: the order of an array (H, M) laid flat."""
    return tuple(f"{prefix}_{member}_h{horizon}" for horizon in horizons for member in members)


def _block(table: pa.Table, names: list[str]) -> np.ndarray:
    """float32 (T, len(names)), C-contiguous."""
    if not names:
        return _no_columns()
    return np.ascontiguousarray(np.stack([table[name].to_numpy() for name in names], axis=1), dtype=np.float32)
