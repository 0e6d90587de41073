"""The whole bar catalogue in one pass against pandas for five of its features, and the cost of one live bar.

    python -m benchmarks.features --bars 1000000

Both sides compute from the same SYNTHETIC bars, in turns, on one core; medians count, of processor time, so that other
work on the machine disturbs less. The five are one from each family that looks back over a window, written as one would
write them with pandas' rolling windows, and their values are checked against ours first.

`pass_vs_pandas_five` is the time of pandas for the five over our time for the whole catalogue, taken in pieces of
65,536 bars as one does on the way to disk: at 1 we are done with everything when pandas is done with five.
`matrix_vs_pandas_five` is the same for one matrix of all rows, whose memory (304 bytes a bar) some machines hand out
more slowly than it is computed.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tyro

from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.batch import compute_features
from features.catalogue import BAR_FIELDS, WARMUP, feature_names
from features.stream import FeatureStream

PIECE_BARS = 65_536
TOLERANCE = 1e-5
"""Largest difference from pandas, whose running sums drift; ours is held to 1e-8 of exact sums in the tests."""


@dataclass(frozen=True)
class Args:
    """Benchmark of the bar features."""

    bars: int = 1_000_000
    """Bars per pass."""
    rounds: int = 5
    """Passes of each side, in turns."""
    updates: int = 20_000
    """Live bars timed one by one."""


def jump_share(bars: pd.DataFrame) -> pd.Series:
    r = np.log(bars.close).diff()
    bipower = math.pi / 2 * (r * r.shift(1)).abs().rolling(60).mean()
    return (1 - bipower / (r * r).rolling(60).mean()).clip(lower=0)


def variance_ratio(bars: pd.DataFrame) -> pd.Series:
    p = np.log(bars.close)
    r, long_r = p.diff(), p.diff(5)
    rolling = long_r.rolling(56)
    squares = 56 * (rolling.var(ddof=0) + (rolling.mean() - 5 * r.rolling(60).mean()) ** 2)
    return squares / (5 * 56 * (1 - 5 / 60)) / r.rolling(60).var() - 1


def delta_price_divergence(bars: pd.DataFrame) -> pd.Series:
    delta = 2 * bars.taker_buy_volume - bars.volume
    r = np.log(bars.close).diff()

    def standardised(x: pd.Series) -> pd.Series:
        return x.rolling(15).sum() / np.sqrt((x * x).rolling(15).sum())

    return standardised(delta) - standardised(r)


def trade_size_zscore(bars: pd.DataFrame) -> pd.Series:
    size = bars.volume / bars.trades
    rolling = size.rolling(60)
    return (size - rolling.mean()) / rolling.std()


def corwin_schultz(bars: pd.DataFrame) -> pd.Series:
    squared_range = np.log(bars.high / bars.low) ** 2
    beta = squared_range + squared_range.shift(1)
    gamma = np.log(bars.high.rolling(2).max() / bars.low.rolling(2).min()) ** 2
    k = 3 - 2 * math.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    spread = (2 * np.expm1(alpha) / (1 + np.exp(alpha))).clip(lower=0)
    r = np.log(bars.close).diff()
    return spread.rolling(60).mean() / np.sqrt((r * r).rolling(60).mean())


FIVE: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "jump_share_60": jump_share,
    "variance_ratio_5_60": variance_ratio,
    "delta_price_divergence_15": delta_price_divergence,
    "trade_size_zscore_60": trade_size_zscore,
    "corwin_schultz_60": corwin_schultz,
}


def check_values(bars: BarArrays, frame: pd.DataFrame) -> None:
    """Stop when a pandas version does not give our values: a race between different things would mean nothing."""
    ours = compute_features(bars, names=tuple(FIVE))
    for j, (name, feature) in enumerate(FIVE.items()):
        worst = float(np.abs(feature(frame).to_numpy() - ours[:, j])[WARMUP:].max())
        print(f"{name:28s} largest difference from pandas {worst:.1e}")
        if not worst < TOLERANCE:
            sys.exit(f"{name}: pandas and our values differ by {worst:.1e}")


def processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def pass_in_pieces(bars: BarArrays) -> None:
    """Every feature of every bar, the rows of a piece dropped when the next is done."""
    stream = FeatureStream()
    for start in range(0, len(bars), PIECE_BARS):
        stream.update_many(bars.slice(start, min(start + PIECE_BARS, len(bars))))


def live_update_us(bars: BarArrays, updates: int) -> np.ndarray:
    """Microseconds of each `FeatureStream.update` once warm."""
    stream = FeatureStream()
    rows = np.stack([getattr(bars, name) for name in BAR_FIELDS], axis=1)
    times = bars.open_time_ms.tolist()
    stream.update_many(bars.slice(0, WARMUP))
    taken = np.empty(updates)
    for i in range(updates):
        t = WARMUP + i
        start = time.perf_counter_ns()
        stream.update(times[t], rows[t])
        taken[i] = (time.perf_counter_ns() - start) / 1e3
    return taken


def main(args: Args) -> int:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=args.bars)).bars)
    frame = pd.DataFrame({name: getattr(bars, name) for name in BAR_FIELDS})
    check_values(bars, frame)
    ours, matrices, pandas_five = [], [], []
    for _ in range(args.rounds):
        pandas_five.append(processor_seconds(lambda: [feature(frame) for feature in FIVE.values()]))
        ours.append(processor_seconds(lambda: pass_in_pieces(bars)))
        matrices.append(processor_seconds(lambda: compute_features(bars)))
    our_median, matrix_median, pandas_median = (statistics.median(x) for x in (ours, matrices, pandas_five))
    updates = live_update_us(bars, min(args.updates, args.bars - WARMUP))
    count = len(feature_names())
    print(f"{args.bars:,} bars: all {count} features {our_median:.3f} s, pandas, 5 features {pandas_median:.3f} s")
    print(f"as one matrix of {8 * count * args.bars / 1e6:,.0f} MB: {matrix_median:.3f} s")
    print(f"live update: median {np.median(updates):.2f} us, 99th percentile {np.quantile(updates, 0.99):.2f} us")
    result = {
        "pass_vs_pandas_five": round(pandas_median / our_median, 2),
        "matrix_vs_pandas_five": round(pandas_median / matrix_median, 2),
        "per_feature_vs_pandas": round(pandas_median / 5 / (our_median / count), 1),
        "live_update_us": round(float(np.median(updates)), 2),
        "live_update_us_p99": round(float(np.quantile(updates, 0.99)), 2),
        "rows_per_s": round(args.bars / our_median),
        "features": count,
        "bars": args.bars,
    }
    print("RESULT " + json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
