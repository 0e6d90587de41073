"""The arrays that models learn from, checked once to fit together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from data_pipeline.errors import InputError
from supervised.chunks import complete_runs, row_blocks
from supervised.config import WalkForwardConfig


@dataclass(frozen=True)
class Dataset:
    """Features and labels of one market, row by row."""

    X: np.ndarray
    """float (T, F): unscaled features, NaN in warm-up."""
    y: np.ndarray
    """float32 (T, H + K): label returns (bps), then brackets' outcomes (-1, 0, +1); NaN unknown."""
    t1: np.ndarray
    """int64 (T, H + K): row at which each label ends; anything where the label is unknown."""
    segments: np.ndarray
    """int64 (K, 2): [start, stop) rows of the stretches without a gap."""
    open_time_ms: np.ndarray
    """int64 (T,): open times, increasing."""

    def __post_init__(self) -> None:
        rows, where = len(self.X), "supervised.Dataset"
        if self.X.ndim != 2 or self.y.ndim != 2 or len(self.y) != rows or self.t1.shape != self.y.shape:
            raise InputError(
                f"X {self.X.shape}, y {self.y.shape} and t1 {self.t1.shape} do not fit",
                where=where,
                remedy="give X (T, F), y (T, H) and t1 (T, H)",
            )
        if self.open_time_ms.shape != (rows,) or (np.diff(self.open_time_ms) <= 0).any():
            raise InputError(
                f"open_time_ms {self.open_time_ms.shape} is not one increasing time per row",
                where=where,
                remedy="sort the bars and drop duplicates",
            )
        edges = self.segments.reshape(-1)
        if self.segments.ndim != 2 or (np.diff(edges) < 0).any() or (len(edges) and (edges[0] < 0 or edges[-1] > rows)):
            raise InputError(
                f"segments {self.segments.tolist()[:4]} are not ascending [start, stop) within {rows} rows",
                where=where,
                remedy="use data_pipeline.schema.segments",
            )
        for block in row_blocks(rows):
            ends = self.t1[block]
            number = np.arange(block.start, block.stop)[:, None]
            wrong = np.isfinite(self.y[block]) & ((ends <= number) | (ends >= rows))
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise InputError(
                    f"a known label ends at row {ends[row, column]} of {rows}",
                    where=f"{where} row {block.start + row} column {column}",
                    remedy="a label ends after its row and inside the data, or is NaN",
                )
        if len(self.runs) == 0:
            empty = np.flatnonzero(~np.isfinite(self.X).any(axis=0)).tolist()
            raise InputError(
                f"no row has all {self.X.shape[1]} features (columns without a single value: {empty})",
                where=where,
                remedy="leave those columns out, or give more bars than the warm-up",
            )

    @cached_property
    def runs(self) -> np.ndarray:
        """int64 (R, 2): contiguous stretches of complete rows inside the segments."""
        return complete_runs(self.X, self.segments)

    @cached_property
    def complete(self) -> np.ndarray:
        """bool (T,): rows that belong to a run."""
        edges = np.zeros(len(self.X) + 1, dtype=np.int8)
        edges[self.runs[:, 0]] += 1
        edges[self.runs[:, 1]] -= 1
        return edges.cumsum()[:-1].astype(bool)

    def fingerprint(self, config: WalkForwardConfig) -> str:
        """Hex digest of the settings and of every array."""
        digest = hashlib.blake2b(json.dumps(asdict(config), sort_keys=True).encode(), digest_size=16)
        for array in (self.X, self.y, self.t1, self.segments, self.open_time_ms):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def joint_fingerprint(markets: Mapping[str, Dataset], config: WalkForwardConfig) -> str:
    """`Dataset.fingerprint` of one market; a digest of names and fingerprints of several."""
    each = [(name, data.fingerprint(config)) for name, data in markets.items()]
    return each[0][1] if len(each) == 1 else hashlib.blake2b(repr(each).encode(), digest_size=16).hexdigest()
