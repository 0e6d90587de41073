"""Labelled chunks of one or several symbols: what training draws its batches from.

Every symbol keeps its own arrays and its own row numbers, so no chunk can reach from one symbol into another; chunks
are planned on runs, so none crosses a gap; and labels pass through `LabelledRows.targets` only, so none that ends at or
past the cut is ever seen. Arrays may be mapped from files: a batch reads its own rows and nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch

from data_pipeline.errors import InputError
from supervised.chunks import ChunkPlan, gather, plan_chunks, row_blocks
from supervised.losses import LabelTally
from supervised.outputs import OutputLayout
from supervised.splits import purge


@dataclass(frozen=True)
class LabelledRows:
    """The rows of one symbol with the labels that may be used."""

    X: np.ndarray
    """float32 (T, F): scaled features, NaN outside the runs."""
    y: np.ndarray
    """float32 (T, C): targets, NaN unknown."""
    t1: np.ndarray
    """int64 (T, C): row at which each label ends."""
    runs: np.ndarray
    """int64 (R, 2): contiguous stretches of complete rows."""
    start: int
    """First row whose labels may be used."""
    cut: int
    """Labels that end at this row or later may not be used."""
    symbol: int = 0
    """Number of the symbol, from 1 on; 0 where nobody asks."""

    def targets(self, rows: np.ndarray | slice) -> np.ndarray:
        """float32 (..., C): the targets of these rows, NaN in place of those that may not be used.

        rows: int64 (...) numbers, or a slice with both ends.
        """
        number = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return purge(self.y[rows], self.t1[rows], self.start, self.cut, number)


class Batch(NamedTuple):
    """Some chunks, all of the same length, on the host."""

    x: torch.Tensor
    """float32 (N, rows, F)."""
    targets: torch.Tensor
    """float32 (N, rows, C), NaN where unknown, not allowed or context."""
    symbol: torch.Tensor
    """int64 (N,)."""


@dataclass(frozen=True)
class ChunkSet:
    """All chunks with a usable label; made by `labelled_chunks`."""

    parts: tuple[LabelledRows, ...]
    plans: tuple[ChunkPlan, ...]
    """One per part, all with the same number of input rows."""
    tally: LabelTally
    """Of all usable labels inside chunks."""

    def __len__(self) -> int:
        return sum(map(len, self.plans))

    def batch(self, chosen: np.ndarray) -> Batch:
        """The chunks of these numbers, in this order. chosen: int64 (N,), each below the length of the set."""
        first = np.cumsum([0, *map(len, self.plans)])
        owner = np.searchsorted(first, chosen, side="right") - 1
        shape = (len(chosen), self.plans[0].rows)
        x = np.empty((*shape, self.parts[0].X.shape[1]), dtype=np.float32)
        targets = np.empty((*shape, self.parts[0].y.shape[1]), dtype=np.float32)
        for number in np.unique(owner):
            here = owner == number
            plan = self.plans[number].select(chosen[here] - first[number])
            x[here] = gather(self.parts[number].X, plan)
            known = self.parts[number].targets(plan.input_rows())
            targets[here] = np.where(plan.output_mask()[..., None], known, np.float32(np.nan))
        symbol = np.array([part.symbol for part in self.parts], dtype=np.int64)[owner]
        return Batch(torch.from_numpy(x), torch.from_numpy(targets), torch.from_numpy(symbol))


def labelled_chunks(
    name: str,
    parts: Sequence[LabelledRows],
    layout: OutputLayout,
    *,
    context: int,
    length: int,
    min_context: int,
) -> ChunkSet:
    """The chunks of all `parts` that hold a known direction.

    name: what the labels are for, for messages. context, length, min_context: see `plan_chunks`. Raises InputError
    when no part has a usable label, or none with enough rows before it.
    """
    plans = []
    tallies = []
    anything = False
    for part in parts:
        labelled = np.zeros(len(part.X), dtype=bool)
        for rows in row_blocks(len(part.X)):
            y = part.targets(rows)[:, layout.direction]
            labelled[rows] = (np.isfinite(y) & (y != 0)).any(axis=1)
        known = np.flatnonzero(labelled)
        anything |= len(known) > 0
        lo, hi = (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)
        plan = plan_chunks(part.runs, lo, hi, context, length, min_context)
        counts = np.concatenate([[0], np.cumsum(labelled)])
        plan = plan.select(counts[plan.stop] > counts[plan.first])
        for first, stop in zip(plan.first, plan.stop, strict=True):
            tallies.append(LabelTally.of(torch.from_numpy(part.targets(slice(first, stop))), layout))
        plans.append(plan)
    if not anything:
        raise InputError(f"no {name} row has a known label", where="fit", remedy="give more rows or shorter horizons")
    if not tallies:
        raise InputError(
            f"no {name} row with a known label has {min_context} complete rows before it",
            where="fit",
            remedy="give longer contiguous stretches or a smaller min_context",
        )
    return ChunkSet(tuple(parts), tuple(plans), reduce(operator.add, tallies))
