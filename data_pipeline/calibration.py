"""Stylised facts of one-minute bars, the bands that real markets fall in, and the table that compares the two.

    python -m data_pipeline.calibration bars1.parquet bars2.zip

prints the facts of each file, of both settings of the synthetic market, and the bands, as a Markdown table.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market

# Lowest and highest value over eleven files of real one-minute bars, with room of about a tenth on either side: Binance
# spot BTC, ETH, BNB, SOL and MATIC (April-May 2021), BTC (July 2021, January 2026, March-April 2026), the USD-M
# perpetual FIL (14 months of 2023-24), Bitfinex BTC and ETH (2017-18). The taker correlation is known for three.
BANDS: dict[str, tuple[float, float]] = {
    "sigma_bps": (4.5, 37.0),
    "excess_kurtosis": (8.0, 850.0),
    "median_over_sigma": (0.2, 0.6),
    "abs_return_acf_1": (0.17, 0.47),
    "abs_return_acf_10": (0.08, 0.35),
    "volume_abs_return": (0.36, 0.65),
    "volume_range": (0.5, 0.88),
    "taker_return": (0.45, 0.64),
}


def stylised_facts(bars: BarArrays, interval_ms: int = 60_000) -> dict[str, float]:
    """The facts that `BANDS` bounds, from bars of one symbol; pairs of bars never reach across a gap.

    sigma_bps: standard deviation of close-to-close log returns r, bps. excess_kurtosis: m4 / m2^2 - 3 of r.
    median_over_sigma: median |r| over the standard deviation (0.67 for a Gaussian). abs_return_acf_k: autocorrelation
    of |r| at lag k. volume_abs_return: correlation of volume and |r|. volume_range: correlation of log volume and log
    range ln(high / low), over bars with both. taker_return: Spearman correlation of the taker-buy share with the bar's
    own r, NaN where the share is not given.

    Raises InputError when fewer than 1,000 returns are known or prices never move.
    """
    follows = np.diff(bars.open_time_ms) == interval_ms
    returns = np.where(follows, np.log(bars.close[1:] / bars.close[:-1]), np.nan)
    known = returns[follows]
    if len(known) < 1_000 or not np.any(known):
        raise InputError(
            f"{len(known)} returns are too few, or all zero", where="calibration", remedy="give at least 1,000 bars"
        )
    move = np.abs(returns)
    volume = bars.volume[1:]
    deviation = known - known.mean()
    sigma = math.sqrt(float(np.mean(deviation**2)))
    with np.errstate(divide="ignore"):
        log_volume, log_range = np.log(volume), np.log(np.log(bars.high[1:] / bars.low[1:]))
    share = np.divide(bars.taker_buy_volume, bars.volume, out=np.full(len(bars), np.nan), where=bars.volume > 0)[1:]
    return {
        "sigma_bps": 1e4 * sigma,
        "excess_kurtosis": float(np.mean(deviation**4)) / sigma**4 - 3.0,
        "median_over_sigma": float(np.median(np.abs(known))) / sigma,
        "abs_return_acf_1": _lagged_correlation(move, 1, bars.open_time_ms[1:], interval_ms),
        "abs_return_acf_10": _lagged_correlation(move, 10, bars.open_time_ms[1:], interval_ms),
        "volume_abs_return": _correlation(volume, move),
        "volume_range": _correlation(log_volume, log_range),
        "taker_return": _rank_correlation(share, returns),
    }


def outside_bands(facts: dict[str, float]) -> list[str]:
    """The facts that fall outside their band, each as text; unknown ones (NaN) are passed over."""
    return [
        f"{name} {facts[name]:.3f} is not in [{low}, {high}]"
        for name, (low, high) in BANDS.items()
        if facts[name] < low or facts[name] > high
    ]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    if np.count_nonzero(known) < 2:
        return math.nan
    return float(np.corrcoef(x[known], y[known])[0, 1])


def _lagged_correlation(x: np.ndarray, lag: int, times: np.ndarray, interval_ms: int) -> float:
    apart = times[lag:] - times[:-lag] == lag * interval_ms
    return _correlation(x[lag:][apart], x[:-lag][apart])


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    return _correlation(rankdata(x[known]), rankdata(y[known]))


def _row(name: str, facts: dict[str, float]) -> str:
    cells = ["" if math.isnan(value) else f"{value:.3g}" for value in facts.values()]
    return f"| {name} | {' | '.join(cells)} |"


def main(paths: Sequence[str]) -> int:
    """Print the table for the files named; exit code 2 and one line when a file is unusable."""
    print(f"| | {' | '.join(BANDS)} |\n|---|{'---|' * len(BANDS)}")
    try:
        for path in paths:
            print(_row(path.rsplit("/", 1)[-1], stylised_facts(bar_arrays(read_bars(path)))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for setting in ("no_edge", "planted_edge"):
        market = synthetic_market(SyntheticConfig(setting=setting, bars=250_000))
        print(_row(f"SYNTHETIC {setting}", stylised_facts(market.arrays())))
    for side, label in enumerate(("lower bound", "upper bound")):
        print(_row(label, {name: band[side] for name, band in BANDS.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
