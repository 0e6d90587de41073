"""Trades for tests: a synthetic tape with everything that a real one has, and recorded ones."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.events import Events, read_events

RECORDED = {
    "spot": "binance_spot_BTCUSDT_2024-08-08T2354.trades",
    "um": "binance_um_BTCUSDT_2024-08-08T2354.trades",
    "cm": "binance_cm_BTCUSD_PERP_2024-08-08T2354.trades",
}
"""Files under micro/ of the real data, by contract type: spot, USD-M and COIN-M perpetual."""


def make_trades(time_ns: np.ndarray, price: np.ndarray, qty: np.ndarray, is_buy: np.ndarray) -> Events:
    """Events of the kind "trades", received 5 ms after the exchange stamped them."""
    columns = {"price": price, "qty": qty, "buyer_is_maker": np.where(is_buy, 0.0, 1.0)}
    return Events(time_ns, time_ns + 5_000_000, {name: np.asarray(c, dtype=np.float64) for name, c in columns.items()})


def synthetic_trades(count: int, seed: int, silences: int = 2, tick: float = 0.01) -> Events:
    """Bursts that share a time stamp, signs in long runs, heavy-tailed sizes, prices on ticks, minutes of silence."""
    rng = np.random.default_rng(seed)
    new_burst = rng.random(count) < 0.4
    waits_ms = np.where(new_burst, np.ceil(rng.pareto(1.2, count) * 20.0), 0.0)
    waits_ms = np.minimum(waits_ms, 20_000.0)
    waits_ms[np.linspace(0, count, silences + 2)[1:-1].astype(np.int64)] = 61_000.0
    flips = rng.random(count) < rng.choice([0.02, 0.3], count)
    is_buy = np.cumsum(flips) % 2 == 0
    drift = np.where(new_burst, rng.integers(-2, 3, count), 0) + np.where(is_buy, 1, -1) * (rng.random(count) < 0.1)
    price = np.round((10_000 + np.cumsum(drift) + np.where(is_buy, 1, 0)) * tick, 8)
    qty = np.round(np.exp(1.5 * rng.standard_normal(count)) * 0.05 + 0.001, 3)
    time_ns = 1_700_000_000_000_000_000 + 1_000_000 * np.cumsum(waits_ms).astype(np.int64)
    return make_trades(time_ns, price, qty, is_buy)


def recorded_trades(contract: str) -> Events:
    """A recorded tape by the exchange's clock; skips the test where the real data is not at hand."""
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    return read_events(pq.read_table(Path(root) / "micro" / f"{RECORDED[contract]}.parquet"), "trades", "exchange")
