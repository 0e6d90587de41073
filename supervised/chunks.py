"""Contiguous chunks of rows: what a causal model is trained on and asked about, in place of one window per row.

A *run* is a contiguous stretch of complete rows (no NaN) inside one segment; a chunk never leaves its run, so nothing
is learned or predicted across a gap. With the model's whole receptive field in front of its first output, every
output of a chunk is what the model would say of the run as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BLOCK_ROWS = 8_192  # of a matrix that may lie on disk: what is computed on the way stays small


def row_blocks(rows: int) -> Iterator[slice]:
    """[0, rows) in slices of at most `BLOCK_ROWS`."""
    return (slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS))


def complete_runs(X: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Contiguous stretches of finite rows inside the segments.

    X: float (T, F). segments: int64 (K, 2), [start, stop) rows. Returns int64 (R, 2), [start, stop) rows, ascending.
    """
    owner = np.full(len(X), -1, dtype=np.int32)
    for number, (start, stop) in enumerate(segments):
        owner[start:stop] = number
    for rows in row_blocks(len(X)):
        owner[rows][~np.isfinite(X[rows]).all(axis=1)] = -1
    edges = np.flatnonzero(np.diff(owner, prepend=-1, append=-1))  # the rows at which the owner changes
    owned = owner[edges[:-1]] >= 0
    return np.stack([edges[:-1][owned], edges[1:][owned]], axis=1)


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """N chunks of `context + length` rows each; every wanted row is the output of exactly one of them."""

    start: np.ndarray
    """int64 (N,): first input row."""
    first: np.ndarray
    """int64 (N,): first output row; the rows before it are context."""
    stop: np.ndarray
    """int64 (N,): end of the output rows; inputs past it only fill the chunk up."""
    rows: int
    """Input rows of every chunk."""

    def __len__(self) -> int:
        return len(self.start)

    def input_rows(self) -> np.ndarray:
        """int64 (N, rows): past a chunk's `stop` its last row repeats; a causal model's outputs before do not
        notice."""
        return np.minimum(self.start[:, None] + np.arange(self.rows), self.stop[:, None] - 1)

    def output_mask(self) -> np.ndarray:
        """bool (N, rows): the inputs that are outputs too."""
        rows = self.start[:, None] + np.arange(self.rows)
        return (rows >= self.first[:, None]) & (rows < self.stop[:, None])

    def select(self, keep: np.ndarray | slice) -> ChunkPlan:
        """The chunks that `keep` (row numbers, a mask or a slice) names."""
        return ChunkPlan(self.start[keep], self.first[keep], self.stop[keep], self.rows)


def plan_chunks(runs: np.ndarray, lo: int, hi: int, context: int, length: int, min_context: int) -> ChunkPlan:
    """Chunks whose outputs are the rows in [lo, hi) with at least `min_context` earlier rows in their run.

    runs: int64 (R, 2). A chunk may read rows before `lo` as context but never a row before its run, and its outputs
    have `context` rows before them wherever the run has that many.
    """
    start, first, stop = [], [], []
    for run_start, run_stop in runs:
        begin, end = max(lo, run_start + min_context), min(hi, run_stop)
        if begin >= end:
            continue
        origin = max(run_start, begin - context)
        starts = np.arange(origin, max(end - context, origin + 1), length)
        start.append(starts)
        first.append(np.maximum(starts + context, begin))
        first[-1][0] = begin
        stop.append(np.minimum(starts + context + length, end))
    if not start:
        empty = np.empty(0, dtype=np.int64)
        return ChunkPlan(empty, empty, empty, context + length)
    return ChunkPlan(np.concatenate(start), np.concatenate(first), np.concatenate(stop), context + length)


def gather(values: np.ndarray, plan: ChunkPlan) -> np.ndarray:
    """Values at the chunks' input rows: (T, C), in memory or mapped from a file, -> (N, rows, C) in memory."""
    return np.asarray(values[plan.input_rows()])
