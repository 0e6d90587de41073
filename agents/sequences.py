"""Minibatches for networks with memory: whole lanes of a fragment, so that each row follows the rows before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def whole_lanes(
    rng: np.random.Generator, valid: NDArray[np.bool_], parts: int
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Share the N lanes of a fragment of T steps out to about equal minibatches, at random.

    Args:
        rng: draws which lanes go together.
        valid: bool (N, T), the rows to learn from.
        parts: minibatches, at most one per lane.

    Yields:
        the lanes (L,) of a minibatch; where its R valid rows are among the L (T + 1) observations of these lanes; and
        where they are among the N T rows of the fragment.
    """
    lanes, steps = valid.shape
    for chosen in np.array_split(rng.permutation(lanes), min(parts, lanes)):
        lane, step = np.nonzero(valid[chosen])
        yield chosen, lane * (steps + 1) + step, chosen[lane] * steps + step
