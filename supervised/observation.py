"""What a policy sees of the market, before scaling: features and predictions side by side, in research as live."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-6  # a probability so small that float32 made it zero has no logarithm


def observation_rows(
    features: NDArray[np.float64], predictions: NDArray[np.float32], further: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Features (T, F), probabilities (T, K) and, where wanted, what else models said (T, E), side by side, unscaled.

    A probability of a rise enters as its log-odds; expected moves, outcomes' probabilities and standard deviations,
    all of them positive, enter as logarithms.
    """
    p = predictions.astype(np.float64)
    parts = [features, np.log(p) - np.log1p(-p)]
    if further is not None:
        parts.append(np.log(np.maximum(further.astype(np.float64), LEAST)))
    return np.concatenate(parts, axis=1)
