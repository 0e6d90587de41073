"""Which features say the same thing: rank correlations, and groups found by hierarchical clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

Floats = NDArray[np.float64]
SAME = 0.7
"""Average |rank correlation| from which features are put into one group."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Rank correlations of F features, in an order in which alike ones are neighbours."""

    correlation: Floats
    """float64 (F, F) Spearman's, in the order given; 0 with a feature that never varies, 1 on the diagonal."""
    order: tuple[int, ...]
    """Features from one end of the tree to the other, neighbours as alike as the tree allows."""
    members: tuple[tuple[int, ...], ...]
    """Groups of features with an average |correlation| of at least `SAME`, in the same order."""
    rows: int
    """Rows it was computed on."""


def group_features(sample: Floats) -> Groups:
    """Group the columns of `sample`, float64 (N, F) without NaN, N >= 2.

    Average linkage on 1 - |ρ|: a feature and its negative say the same. Leaves are in optimal order (Bar-Joseph,
    Gifford & Jaakkola 2001).
    """
    rows, count = sample.shape
    ranks = rankdata(sample, axis=0)
    ranks -= ranks.mean(axis=0)
    norms = np.sqrt(np.einsum("nf,nf->f", ranks, ranks))
    ranks /= np.where(norms > 0.0, norms, 1.0)
    correlation = np.clip(ranks.T @ ranks, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    if count < 2:
        return Groups(correlation, tuple(range(count)), tuple((k,) for k in range(count)), rows)
    distance = 1.0 - np.abs(correlation)
    tree = linkage(squareform(np.maximum(distance, distance.T), checks=False), "average", optimal_ordering=True)
    order = tuple(int(k) for k in leaves_list(tree))
    label = fcluster(tree, 1.0 - SAME, "distance")
    members: dict[int, list[int]] = {}
    for k in order:
        members.setdefault(int(label[k]), []).append(k)
    return Groups(correlation, order, tuple(map(tuple, members.values())), rows)
