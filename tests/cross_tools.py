"""Pairs of markets for tests: synthetic ones that share a factor, and recorded ones side by side."""

import os
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.readers import read_bars
from data_pipeline.schema import bar_arrays
from features.cross.pairs import PairedBars, align_bars


def synthetic_pair(count: int, seed: int, gaps: tuple[int, ...] = (), lead: float = 0.0) -> PairedBars:
    """A market with beta 1.3 that also takes `lead` of the leader's last return; both with all fields.

    Before each bar numbered in `gaps` three minutes are missing.
    """
    rng = np.random.default_rng(seed)
    leader_return = 1e-3 * rng.standard_normal(count)
    late = np.concatenate(([0.0], leader_return[:-1]))
    own_return = 1.3 * leader_return + lead * late + 7e-4 * rng.standard_normal(count)
    minutes = np.arange(count) + 3 * np.isin(np.arange(count), gaps).cumsum()
    volume, leader_volume = (np.exp(rng.standard_normal(count)) for _ in range(2))
    return PairedBars(
        1_700_000_040_000 + 60_000 * minutes.astype(np.int64),
        20.0 * np.exp(own_return.cumsum()),
        volume,
        volume * rng.random(count),
        40_000.0 * np.exp(leader_return.cumsum()),
        leader_volume,
        leader_volume * np.clip(0.5 + 200.0 * leader_return, 0.0, 1.0),
    )


def recorded_pair(symbol: str) -> PairedBars:
    """Two months of `symbol` beside BTCUSDT, outages and all; skips the test where the real data is not at hand."""
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    files = (Path(root) / "klines" / f"binance_spot_{name}_1m_2021-04_05.parquet" for name in (symbol, "BTCUSDT"))
    own, leader = (bar_arrays(read_bars(file)) for file in files)
    return align_bars(own, leader)
