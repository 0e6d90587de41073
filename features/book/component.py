"""The main direction of the order flow of all levels: first principal component, forgetting old buckets, as they come.

Cont, Cucuringu & Zhang, "Cross-impact of order flow imbalance in equity markets" (arXiv 2112.13213), fit the component
on the half hour before; here every bucket enters when it is complete and its weight halves after a number of buckets.
"""

import math

import numpy as np
from numba import njit

from features.book.catalogue import LEVELS
from features.book.layout import LOADINGS, MEANS, PRODUCTS, TOTAL_WEIGHT

SQUARINGS = 10
"""The matrix is raised to the power 2^10: what a second component 1 % weaker leaves in the first is under 4e-5."""


@njit(error_model="numpy")
def component_step(state: np.ndarray, at: int, decay: float, bucket: np.ndarray) -> None:
    """Take in one bucket, float64 (LEVELS,), and renew the loadings.

    Means and centred products are updated in West's form (1979): no large numbers are subtracted, products stay a
    covariance matrix.
    """
    before = decay * state[at + TOTAL_WEIGHT]
    after = before + 1.0
    state[at + TOTAL_WEIGHT] = after
    deviation = np.empty(LEVELS)
    for i in range(LEVELS):
        deviation[i] = bucket[i] - state[at + MEANS + i]
        state[at + MEANS + i] += deviation[i] / after
    for i in range(LEVELS):
        for j in range(LEVELS):
            k = at + PRODUCTS + i * LEVELS + j
            state[k] = decay * state[k] + before / after * deviation[i] * deviation[j]
    products = state[at + PRODUCTS : at + LOADINGS].reshape((LEVELS, LEVELS))
    state[at + LOADINGS : at + LOADINGS + LEVELS] = first_component(products)


@njit(error_model="numpy")
def first_component(products: np.ndarray) -> np.ndarray:
    """Leading eigenvector of a covariance matrix float64 (N, N): absolute values add up to 1, the sum is not below 0.

    Found by squaring: the power 2^k of the matrix, over its trace, tends to the projection on the eigenvector. Equal
    weights when nothing varies.
    """
    n = len(products)
    power = products.copy()
    trace = 0.0
    for i in range(n):
        trace += power[i, i]
    if not (trace > 0.0 and trace < math.inf):
        return np.full(n, 1.0 / n)
    power /= trace
    for _ in range(SQUARINGS):
        square = np.zeros((n, n))
        trace = 0.0
        for i in range(n):
            for k in range(n):
                for j in range(n):
                    square[i, j] += power[i, k] * power[k, j]
            trace += square[i, i]
        power = square / trace
    pivot = 0
    for i in range(n):
        if power[i, i] > power[pivot, pivot]:
            pivot = i
    total = 0.0
    size = 0.0
    for i in range(n):
        total += power[i, pivot]
        size += abs(power[i, pivot])
    return power[:, pivot] / (size if total >= 0.0 else -size)
