"""The whole bar catalogue in one pass against pandas, TA-Lib and polars, and the cost of one live bar.

    python -m benchmarks.features --bars 500000

All compute from the same SYNTHETIC bars, in turns, on one core (polars with one thread); medians count, of processor
time, so that other work on the machine disturbs less. Values are checked against ours first: a race between different
things would mean nothing.

- `pass_vs_pandas_five`: time of pandas for five features, one from each family that looks back over a window, over our
  time for the preset `broad` with more than a hundred, taken in pieces as one does on the way to disk. At 1 we are done
  with all when pandas is done with five. `catalogue_vs_pandas_five`: the same for the whole catalogue.
- `per_feature_vs_talib`: TA-Lib's time a feature, over those that both have, over ours in the catalogue pass. Only its
  own functions are timed, on logs made beforehand; what is left to do to get our scale is not.
  `same_features_vs_talib` is the same for a pass of ours over those features alone, reading and checking of bars
  included, of which each then bears a larger part.
- `per_feature_vs_polars`, `same_features_vs_polars`: likewise for ten features as polars expressions in one query, in
  which it shares what they have in common.
- `live_update_us`: median of `FeatureStream.update` with all features, once warm.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ["POLARS_MAX_THREADS"] = "1"  # read by polars when it is imported

import numpy as np
import pandas as pd
import polars as pl
import tyro

from benchmarks.feature_peers import PANDAS_FIVE, polars_ten, talib_inputs, talib_set
from data_pipeline.config import SyntheticConfig
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.bars.fields import BAR_FIELDS
from features.batch import compute_features
from features.catalogue import feature_names
from features.stream import FeatureStream

PIECE_BARS = 4_096
CHECKED_BARS = 60_000
SETTLED = 4_000
"""Rows left out of the check: TA-Lib starts Wilder's and Appel's averages with a plain mean, which fades."""
TOLERANCE = 1e-5
"""Largest difference from others, whose running sums drift; ours is held to 1e-8 of exact sums in the tests."""
AGREEING = 0.95
"""Share of rows that must agree with TA-Lib: its MFI takes the rounding of equal prices for a rise or a fall."""


@dataclass(frozen=True)
class Args:
    """Benchmark of the bar features."""

    bars: int = 2_600_000
    """Bars per pass; five years of minutes."""
    rounds: int = 3
    """Passes of each side, in turns."""
    updates: int = 20_000
    """Live bars timed one by one."""


def check_values(bars: BarArrays) -> None:
    """Stop when another library does not give our values."""
    frame = pd.DataFrame({name: getattr(bars, name) for name in BAR_FIELDS})
    inputs = talib_inputs(bars)
    ten = polars_ten()
    theirs = {f"{name} (pandas)": (name, feature(frame).to_numpy()) for name, feature in PANDAS_FIVE.items()}
    theirs |= {f"{name} (TA-Lib)": (name, x.same(inputs, x.run(inputs))) for name, x in talib_set().items()}
    columns = pl.from_pandas(frame).select(**ten)
    theirs |= {f"{name} (polars)": (name, columns[name].to_numpy()) for name in ten}
    for label, (name, values) in theirs.items():
        difference = np.abs(values - compute_features(bars, [name])[:, 0])[SETTLED:]
        agreeing = float((difference < TOLERANCE).mean())
        print(f"{label:36s} median difference {np.median(difference):.1e}, {agreeing:7.2%} below {TOLERANCE:.0e}")
        if not agreeing >= (AGREEING if "TA-Lib" in label else 1.0):
            sys.exit(f"{label} and our values differ")


def processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def pass_in_pieces(bars: BarArrays, names: Sequence[str] | None = None) -> None:
    """The features of every bar, the rows of a piece dropped when the next is done."""
    stream = FeatureStream(names)
    for start in range(0, len(bars), PIECE_BARS):
        stream.update_many(bars.slice(start, min(start + PIECE_BARS, len(bars))))


def live_update_us(bars: BarArrays, updates: int) -> np.ndarray:
    """Microseconds of each `FeatureStream.update` once warm."""
    stream = FeatureStream()
    first = stream.warmup
    rows = np.stack([getattr(bars, name)[: first + updates] for name in BAR_FIELDS], axis=1)
    times = bars.open_time_ms[: first + updates].tolist()
    stream.update_many(bars.slice(0, first))
    taken = np.empty(updates)
    for i in range(updates):
        start = time.perf_counter_ns()
        stream.update(times[first + i], rows[first + i])
        taken[i] = (time.perf_counter_ns() - start) / 1e3
    return taken


def main(args: Args) -> int:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=args.bars)).bars)
    check_values(bars.slice(0, min(args.bars, CHECKED_BARS)))
    frame = pd.DataFrame({name: getattr(bars, name) for name in BAR_FIELDS})
    table = pl.DataFrame({name: getattr(bars, name) for name in BAR_FIELDS}).lazy()
    inputs, both, ten = talib_inputs(bars), talib_set(), polars_ten()
    contestants: dict[str, Callable[[], object]] = {
        "catalogue": lambda: pass_in_pieces(bars),
        "preset broad": lambda: pass_in_pieces(bars, ["broad"]),
        "pandas five": lambda: [feature(frame) for feature in PANDAS_FIVE.values()],
        "TA-Lib": lambda: [feature.run(inputs) for feature in both.values()],
        "those of TA-Lib": lambda: pass_in_pieces(bars, tuple(both)),
        "polars ten": lambda: table.select(**ten).collect(),
        "those of polars": lambda: pass_in_pieces(bars, tuple(ten)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, work in contestants.items():
            seconds[name].append(processor_seconds(work))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    updates = live_update_us(bars, min(args.updates, args.bars - FeatureStream().warmup))
    sizes = {
        "catalogue": len(feature_names()),
        "preset broad": len(feature_names(["broad"])),
        "pandas five": len(PANDAS_FIVE),
        "TA-Lib": len(both),
        "those of TA-Lib": len(both),
        "polars ten": len(ten),
        "those of polars": len(ten),
    }
    each = {name: 1e9 * median[name] / args.bars / count for name, count in sizes.items()}
    for name, count in sizes.items():
        print(f"{name:16s} {count:4d} features {median[name]:8.3f} s, {each[name]:6.2f} ns a feature and bar")
    print(f"live update: median {np.median(updates):.2f} us, 99th percentile {np.quantile(updates, 0.99):.2f} us")
    result = {
        "pass_vs_pandas_five": round(median["pandas five"] / median["preset broad"], 2),
        "catalogue_vs_pandas_five": round(median["pandas five"] / median["catalogue"], 2),
        "per_feature_vs_talib": round(each["TA-Lib"] / each["catalogue"], 2),
        "same_features_vs_talib": round(each["TA-Lib"] / each["those of TA-Lib"], 2),
        "per_feature_vs_polars": round(each["polars ten"] / each["catalogue"], 2),
        "same_features_vs_polars": round(each["polars ten"] / each["those of polars"], 2),
        "live_update_us": round(float(np.median(updates)), 2),
        "live_update_us_p99": round(float(np.quantile(updates, 0.99)), 2),
        "ns_per_feature_and_bar": round(each["catalogue"], 2),
        "features_of_the_pass": sizes["preset broad"],
        "features": sizes["catalogue"],
        "bars": args.bars,
    }
    print("RESULT " + json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
