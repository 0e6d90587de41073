"""How much each label should count in training: labels that share bars share their information.

López de Prado 2018, ch. 4, for labels as `features.labels` gives them: label t uses the bars t + 1 .. until[t] - 1.
Everything costs O(bars + labels). Use the labels of the training set only (`replace(labels, valid=...)`): a label that
the purge took out must not thin the weights of those it overlapped.
"""

import numpy as np
from numba import njit

from data_pipeline.errors import InputError
from features.labels import Labels


def concurrency(labels: Labels) -> np.ndarray:
    """How many valid labels use each bar, int64 (T,) (ch. 4.3)."""
    rows = len(labels.valid)
    starts, stops = _spans(labels)
    change = np.bincount(starts, minlength=rows + 1) - np.bincount(stops, minlength=rows + 1)
    return np.cumsum(change[:rows])


def average_uniqueness(labels: Labels) -> np.ndarray:
    """Mean over a label's bars of 1 / concurrency, in (0, 1], float64 (T,), NaN where not valid (ch. 4.4).

    1 means that no other label shares a bar; its sum is the number of labels that the sample is worth.
    """
    count = concurrency(labels)
    starts, stops = _spans(labels)
    shares = 1.0 / np.maximum(count, 1)
    return _by_row(labels, _span_sums(shares, starts, stops) / (stops - starts))


def attribution_weights(labels: Labels, log_returns: np.ndarray) -> np.ndarray:
    """Weights by absolute return, each bar's shared out between the labels that use it (ch. 4.6); NaN where not valid.

    weight_t ∝ |Σ log_returns[k] / concurrency[k]| over the label's bars k, scaled so that the weights sum to the number
    of labels. `log_returns` float64 (T,) must be known at the close of each row, such as ln(C / C[-1]), and finite in
    every bar that a label uses. All are 1 where no price moved.

    Raises InputError when there is not one return per row, or one that is used is not finite.
    """
    where = "attribution_weights"
    if log_returns.shape != labels.valid.shape:
        raise InputError(f"log_returns have shape {log_returns.shape}", where=where, remedy="give one for each row")
    count = concurrency(labels)
    strange = (count > 0) & ~np.isfinite(log_returns)
    if strange.any():
        row = int(np.argmax(strange))
        raise InputError(f"return {log_returns[row]} is not finite", where=f"{where}, row {row}", remedy="fill it")
    starts, stops = _spans(labels)
    shares = np.where(count > 0, log_returns / np.maximum(count, 1), 0.0)
    weights = np.abs(_span_sums(shares, starts, stops))
    total = weights.sum()
    return _by_row(labels, weights * (len(weights) / total) if total > 0 else np.ones(len(weights)))


def time_decay(uniqueness: np.ndarray, oldest: float = 0.5) -> np.ndarray:
    """Factors that fall linearly with age, age counted in unique information (ch. 4.7); NaN where `uniqueness` is.

    `uniqueness` float64 (T,) is `average_uniqueness`. The newest label has factor 1, the limit before the first one
    `oldest`; a negative `oldest` in (-1, 0) gives factor 0 to that share of the oldest information.

    Raises InputError for `oldest` outside (-1, 1].
    """
    if not -1.0 < oldest <= 1.0:
        raise InputError(f"oldest {oldest} is not in (-1, 1]", where="time_decay", remedy="1 means no decay")
    known = ~np.isnan(uniqueness)
    age = np.cumsum(uniqueness[known])
    factors = np.full(len(uniqueness), np.nan)
    if len(age):
        slope = (1.0 - oldest) / age[-1] if oldest >= 0 else 1.0 / ((1.0 + oldest) * age[-1])
        factors[known] = np.maximum(1.0 - slope * (age[-1] - age), 0.0)
    return factors


def _spans(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """First bar of each valid label and the one after its last, int64 (N,) each; every label uses a bar at least."""
    return np.flatnonzero(labels.valid) + 1, labels.until[labels.valid]


def _by_row(labels: Labels, values: np.ndarray) -> np.ndarray:
    """Values of the valid labels (N,) at their rows, float64 (T,), NaN elsewhere."""
    rows = np.full(len(labels.valid), np.nan)
    rows[labels.valid] = values
    return rows


@njit(cache=True, error_model="numpy")
def _span_sums(values: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Σ values[start:stop] for each span, float64 (N,), by differences of prefix sums.

    A difference of plain prefix sums would lose the digits that the prefix has more than the span. Each prefix is kept
    as an unevaluated sum of two floats instead (Knuth's two-sum), exact to about 2^-106 of itself.
    """
    high = np.zeros(len(values) + 1)
    low = np.zeros(len(values) + 1)
    for t in range(len(values)):
        total = high[t] + values[t]
        added = total - high[t]
        lost = (high[t] - (total - added)) + (values[t] - added)
        high[t + 1] = total
        low[t + 1] = low[t] + lost
    sums = np.empty(len(starts))
    for i in range(len(starts)):
        sums[i] = (high[stops[i]] - high[starts[i]]) + (low[stops[i]] - low[starts[i]])
    return sums
