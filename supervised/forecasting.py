"""What a trained model says of rows, in chunks as it was trained."""

from __future__ import annotations

import numpy as np
import torch

from supervised.base import CausalModel, Forecast
from supervised.chunks import gather, plan_chunks
from supervised.config import TrainConfig
from supervised.devices import torch_threads

LEAST = 1e-6  # float32 rounds a larger logit's probability to 1, whose log-loss may be infinite


def predict(
    model: CausalModel, X: np.ndarray, runs: np.ndarray, lo: int, hi: int, config: TrainConfig, *, min_context: int
) -> np.ndarray:
    """Forecasts float32 (hi - lo, O + H) of the rows [lo, hi), each from its run up to itself; NaN with too few rows.

    X: float32 (T, F) scaled features on the host, in memory or mapped from a file. Columns in the order of
    `layout.columns` and `layout.sd_columns`: P(up) in (0, 1), expected absolute return (bps), outcomes' probabilities,
    standard deviation of the logit of P(up).

    Every batch has the same shape, the last one filled up with repeats: the same sums are then made in the same order
    whatever follows, and nothing after a row changes its prediction, to the bit.
    """
    layout, device = model.layout, model.head.weight.device
    forecasts = np.full((hi - lo, layout.size + len(layout.horizons)), np.nan, dtype=np.float32)
    plan = plan_chunks(runs, lo, hi, model.receptive_field - 1, config.chunk, min_context)
    model.eval()
    with torch_threads(config.threads):
        for at in range(0, len(plan), config.batch):
            number = np.arange(at, at + config.batch)
            chunks = plan.select(number.clip(max=len(plan) - 1))
            outputs = chunks.output_mask() & (number < len(plan))[:, None]
            x = torch.from_numpy(gather(X, chunks)).to(device)
            said = _side_by_side(model.forecast(x)).cpu().numpy()
            forecasts[chunks.input_rows()[outputs] - lo] = said[outputs]
    up = layout.direction
    np.clip(forecasts[:, up], LEAST, 1 - LEAST, out=forecasts[:, up])
    return forecasts


def _side_by_side(forecast: Forecast) -> torch.Tensor:
    """(B, T, O + H)."""
    return torch.cat([forecast.p_up, forecast.move_bps, forecast.outcomes.flatten(2), forecast.logit_sd], dim=-1)
