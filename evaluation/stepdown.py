"""Many tests at once: which of them survive, when nothing is known about how they depend on each other.

A hundred features over four horizons are four hundred chances to be fooled. What is held at 5 % here is the
probability that *even one* true null is rejected (the family-wise error rate), because a page that names survivors is
read as a list of finds. Romano & Wolf's step-down does this with the joint distribution of all statistics, taken from
the data: features that say the same thing count about once. Bonferroni and Holm would count each of them. Benjamini &
Yekutieli's procedure holds the share of false finds instead; being valid under any dependence costs it a factor ln(m)
(6.6 with 400 tests), and it needs p-values that are right far out in the tails, where none are.

The joint distribution comes from flipping the signs of whole blocks (the same flips for every test, so that dependence
between tests is kept). Where block sums are independent and symmetric around zero under the null, that is exact for
any number of blocks, not only for many (Canay, Romano & Shaikh 2017).

References: Romano & Wolf (2005), "Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing"; Romano &
Wolf (2016) for adjusted p-values; Canay, Romano & Shaikh (2017), "Randomization Tests under an Approximate Symmetry
Assumption".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 512


def stepdown_p_values(contributions: Floats, *, flips: int = 9999, seed: int = 0) -> Floats:
    """Adjusted two-sided p-values, float64 (M,), of M nulls "the sum of column m is zero in expectation".

    `contributions` float64 (B, M): what each block adds to each estimate. A null whose adjusted p-value is at most α is
    rejected at family-wise level α. The statistic is |Σ c| / √Σ c², which ranks as the t-statistic over blocks does and
    whose denominator no flip changes. The smallest p-value is 1 / (flips + 1). A column of zeros gets 1.

    Adjusted p of the k-th largest statistic: the share of flips whose maximum over the k-th and all smaller ones
    reaches it, and no less than that of the one before.
    """
    blocks, tests = contributions.shape
    norms = np.sqrt(np.einsum("bm,bm->m", contributions, contributions))
    scaled = contributions / np.where(norms > 0.0, norms, 1.0)
    observed = np.abs(scaled.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    ascending = np.ascontiguousarray(scaled[:, order[::-1]])
    target = observed[order[::-1]] * (1.0 - 1e-12)  # the unflipped sample must count as reaching itself
    reached = np.zeros(tests, dtype=np.int64)
    generator = np.random.default_rng(seed)
    for start in range(0, flips, CHUNK):
        signs = generator.integers(0, 2, size=(min(CHUNK, flips - start), blocks)) * 2.0 - 1.0
        largest = np.maximum.accumulate(np.abs(signs @ ascending), axis=1)
        reached += np.count_nonzero(largest >= target, axis=0)
    adjusted = np.empty(tests)
    adjusted[order] = np.maximum.accumulate((reached[::-1] + 1.0) / (flips + 1.0))
    return np.where(norms > 0.0, adjusted, 1.0)
