"""Matrices on disk that are mapped into memory: written once in blocks, named by what they hold, whole or not there.

The kernel loads the rows that are read and drops them when memory is wanted, so years of rows cost a process no more
memory than the batch at hand, and processes of one machine share the pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path
from features.scaling import Scaler
from supervised.chunks import row_blocks


def spool(path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """The matrix at `path` (.npy), read-only; made of `blocks` of rows, in order, if it is not there yet.

    Raises InputError when the blocks do not make `shape`; then there is no file.
    """
    if not path.exists():
        with atomic_path(path) as temporary:
            matrix = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
            row = 0
            for block in blocks:
                _expect(row + len(block) <= len(matrix), path, len(matrix))
                matrix[row : row + len(block)] = block
                row += len(block)
            _expect(row == len(matrix), path, len(matrix))
            matrix.flush()
    return mapped(path)


def mapped(path: Path) -> np.ndarray:
    """The matrix at `path`, read-only."""
    matrix: np.ndarray = np.load(path, mmap_mode="r")
    return matrix


def scaled(X: np.ndarray, scaler: Scaler, path: Path | None) -> np.ndarray:
    """`scaler.transform(X)` float32 (T, F): in memory, or with a `path` mapped from there."""
    if path is None:
        return scaler.transform(X)
    return spool(path, (scaler.transform(X[rows]) for rows in row_blocks(len(X))), X.shape, np.float32)


def _expect(holds: bool, path: Path, rows: int) -> None:
    if not holds:
        raise InputError(f"the source does not give {rows} rows", where=str(path), remedy="read it again")
