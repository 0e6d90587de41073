"""What a policy sees of the market, before scaling: features and predictions side by side, in research as live."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def observation_rows(features: NDArray[np.float64], predictions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features (T, F) and probabilities (T, K) side by side, unscaled; a probability enters as its log-odds."""
    p = predictions.astype(np.float64)
    return np.concatenate([features, np.log(p) - np.log1p(-p)], axis=1)
