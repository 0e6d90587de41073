"""A sum tree in one array: draw leaves in proportion to their values, change many at a time.

`tree` is float64 of twice a power of two: node 1 is the root, the children of node i are 2i and 2i + 1, and leaf j is
node `len(tree) // 2 + j`. A parent is always the sum of its two children as they are now, never a running difference,
so nothing drifts, and a tree rebuilt from its leaves is the same to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def empty_tree(leaves: int) -> NDArray[np.float64]:
    """A tree with room for at least `leaves` leaves, all zero."""
    return np.zeros(2 << max(0, leaves - 1).bit_length(), np.float64)


@njit(cache=True)
def set_leaves(tree: NDArray[np.float64], leaves: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Give the leaves numbered int64 (M,) their values float64 (M,) >= 0; of equal numbers the last one counts."""
    first = len(tree) // 2
    for place in range(len(leaves)):
        node = first + leaves[place]
        tree[node] = values[place]
        while node > 1:
            node //= 2
            tree[node] = tree[2 * node] + tree[2 * node + 1]


@njit(cache=True)
def rebuild(tree: NDArray[np.float64]) -> None:
    """Recompute all sums from the leaves."""
    for node in range(len(tree) // 2 - 1, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]


@njit(cache=True)
def find_leaves(tree: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """The leaf at which the running sum of the values passes each share float64 (M,), in [0, 1), of their total.

    A leaf of value zero is never found, whatever the rounding, as long as any other is larger.
    """
    first = len(tree) // 2
    found = np.empty(len(shares), np.int64)
    for place in range(len(shares)):
        rest, node = shares[place] * tree[1], 1
        while node < first:
            node *= 2
            if rest >= tree[node] and tree[node + 1] > 0.0:
                rest -= tree[node]
                node += 1
        found[place] = node - first
    return found
