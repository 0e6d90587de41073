"""Bars per second of the synthetic market, beside a plain numpy geometric random walk of the same length.

    python benchmarks/synthetic.py

The two alternate in one process after a warm-up, and medians are compared, so that a busy machine slows both. The walk
makes one closing price a bar and nothing else: it is the floor, not a rival. One thread; the Arrow table is included.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market


def numpy_walk(config: SyntheticConfig) -> np.ndarray:
    """Closing prices of a driftless geometric random walk with constant volatility."""
    sigma = config.sigma_bps * 1e-4
    noise = np.random.default_rng(config.seed).standard_normal(config.bars)
    return config.initial_price * np.exp(np.cumsum(sigma * noise - 0.5 * sigma * sigma))


def seconds(make: Callable[[SyntheticConfig], object], config: SyntheticConfig) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    make(config)
    return time.perf_counter() - start


def main() -> int:
    """Run, print a line per peer and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    config = SyntheticConfig(bars=args.bars)
    peers: dict[str, Callable[[SyntheticConfig], object]] = {"synthetic_market": synthetic_market, "numpy": numpy_walk}
    for make in peers.values():
        make(config)
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(args.rounds):
        for name, make in peers.items():
            times[name].append(seconds(make, config))
    rate = {name: args.bars / statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        spread = (max(values) - min(values)) / statistics.median(values)
        print(f"{name:18s} {rate[name] / 1e6:7.2f} M bars/s   (median of {args.rounds}, spread {100 * spread:.0f} %)")
    result = {
        "bars_per_s": round(rate["synthetic_market"]),
        "vs_numpy_gbm": round(rate["synthetic_market"] / rate["numpy"], 4),
        "bars": args.bars,
    }
    print(f"RESULT {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
