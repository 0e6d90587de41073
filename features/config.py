"""Windows of the features of each kind. Imports nothing heavy."""

import math
from dataclasses import dataclass
from itertools import pairwise

from data_pipeline.errors import InputError


@dataclass(frozen=True)
class BarParameters:
    """Windows, in bars, of the bar features; every feature's name carries the window it was made with."""

    interval_ms: int = 60_000
    """Milliseconds from one bar's open to the next."""
    horizons: tuple[int, ...] = (1, 2, 5, 15, 60)
    """Look-backs of the returns, increasing."""
    short: int = 15
    """Short window."""
    long: int = 60
    """Long window; also the window of the volatility that scales returns and spreads."""
    aggregation: int = 5
    """q of the variance ratio: the q-bar return whose variance is compared with q one-bar variances."""
    fast_span: int = 5
    """Span of the fast exponential average of taker flow; its weight on the newest bar is 2 / (span + 1)."""
    slow_span: int = 30
    """Span of the slow exponential average of taker flow."""
    day: int = 1_440
    """Bars of a day: the middle window of the HAR terms, and the season of volume and range."""
    days: int = 7
    """Days of a week: the long window of the HAR terms is so many days, and so many are compared for the season."""
    lags: tuple[int, ...] = (2, 5, 10)
    """Lags of the autocorrelations of returns beside lag 1, increasing."""
    other_aggregations: tuple[int, ...] = (2, 15)
    """Further q of the variance ratio, increasing; together with `aggregation` they also carry the Hurst exponent."""
    macd: tuple[int, int, int] = (12, 26, 9)
    """Spans of the fast, the slow and the signal average of Appel's MACD."""
    fraction_orders: tuple[float, ...] = (0.4,)
    """Orders d of the fractional differences, in (0, 1)."""
    fraction_taps: int = 64
    """Returns that a fractional difference reaches back."""
    cusum_threshold: float = 5.0
    """Sum of standardised returns, in σ, at which the CUSUM filter starts afresh."""
    word: int = 3
    """Signs to a word of the sign entropy."""
    signs: int = 60
    """Signs whose Lempel-Ziv complexity is counted, at most 64."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="BarParameters", remedy=remedy)

        if self.interval_ms <= 0:
            refuse(f"interval_ms {self.interval_ms} is not positive", "60000 is 1m")
        horizons = self.horizons
        if not horizons or horizons[0] < 1 or any(a >= b for a, b in pairwise(horizons)):
            refuse(f"horizons {horizons} do not increase from 1 or more", "for example (1, 5, 15)")
        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")
        if not 2 <= self.aggregation <= self.long // 4:
            refuse(f"aggregation {self.aggregation} is not in 2 .. long / 4", f"use at most {self.long // 4}")
        if not 1 <= self.fast_span < self.slow_span:
            refuse(f"fast_span {self.fast_span} and slow_span {self.slow_span} do not fit", "use 1 <= fast < slow")
        if self.day < 2 or self.days < 2:
            refuse(f"day {self.day} and days {self.days} do not fit", "use 2 or more of each")
        if any(not 2 <= k <= self.long // 4 for k in self.lags) or any(a >= b for a, b in pairwise(self.lags)):
            refuse(f"lags {self.lags} do not increase within 2 .. long / 4", "for example (2, 5, 10)")
        others = self.other_aggregations
        if any(not 2 <= q <= self.long // 4 or q == self.aggregation for q in others) or not others:
            refuse(f"other_aggregations {others} are not in 2 .. long / 4 beside aggregation", "for example (2, 15)")
        if any(a >= b for a, b in pairwise(others)):
            refuse(f"other_aggregations {others} do not increase", "for example (2, 15)")
        if not 1 <= self.macd[0] < self.macd[1] or self.macd[2] < 1:
            refuse(f"macd {self.macd} does not fit", "use 1 <= fast < slow and signal >= 1")
        if any(not 0.0 < d < 1.0 for d in self.fraction_orders):
            refuse(f"fraction_orders {self.fraction_orders} are not in (0, 1)", "for example (0.4,)")
        if not 2 <= self.fraction_taps <= 256:
            refuse(f"fraction_taps {self.fraction_taps} is not in 2 .. 256", "64 is usual")
        if not 0.0 < self.cusum_threshold < math.inf:
            refuse(f"cusum_threshold {self.cusum_threshold} is not positive", "5 is usual")
        if not 1 <= self.word <= 5:
            refuse(f"word {self.word} is not in 1 .. 5", "3 is usual")
        if not 8 <= self.signs <= 64:
            refuse(f"signs {self.signs} is not in 8 .. 64", "60 is usual")


@dataclass(frozen=True)
class TradingCosts:
    """What a position pays to be opened and closed, and the step of its prices. All zero: nothing."""

    half_spread_bps: float = 0.0
    """What every market order pays against the bar's price."""
    maker_fee_bps: float = 0.0
    """Fee of a take-profit; negative for a rebate."""
    taker_fee_bps: float = 0.0
    """Fee of entries, stops and time-outs."""
    tick_size: float = 0.0
    """Barriers are rounded to it, away from the entry; 0 rounds nothing."""

    def __post_init__(self) -> None:
        where = "TradingCosts"
        for name in ("half_spread_bps", "taker_fee_bps"):
            if not 0 <= getattr(self, name) < 1_000:
                raise InputError(f"{name} {getattr(self, name)} is not in [0, 1000)", where=where, remedy="use bps")
        if not -self.taker_fee_bps <= self.maker_fee_bps < 1_000:
            raise InputError(
                f"maker_fee_bps {self.maker_fee_bps} is not in [-taker fee, 1000)", where=where, remedy="use bps"
            )
        if not 0 <= self.tick_size < math.inf:
            raise InputError(f"tick_size {self.tick_size} is not a step", where=where, remedy="0 rounds nothing")


@dataclass(frozen=True)
class TradeParameters:
    """Windows of the trade features, as counts of trades and as times; names carry the window they were made with."""

    short: int = 50
    """Short window, in trades."""
    long: int = 500
    """Long window, in trades; also the window of the sizes that say what a large trade is."""
    fast_ms: int = 1_000
    """Fast time constant: a trade's weight falls by e in this many milliseconds."""
    slow_ms: int = 30_000
    """Slow time constant."""
    sign_lags: tuple[int, ...] = (1, 10)
    """Lags, in trades, of the autocorrelation of trade signs; increasing."""
    sign_word: int = 3
    """Successive signs whose joint distribution gives the entropy of signs."""
    large_quantile: float = 0.95
    """A trade is large when it is bigger than this quantile of the `long` sizes before it."""
    hawkes_base: float = 1.0
    """Trades per second and side that come without being excited: μ."""
    hawkes_self: float = 1.2
    """Jump of a side's intensity, per second, at each of its own trades: α."""
    hawkes_cross: float = 0.2
    """Jump at each trade of the other side."""
    hawkes_decay: float = 2.0
    """Rate, per second, at which excitement fades: β. Stable while self + cross < decay."""
    count_ms: int = 1_000
    """Width of the time bins whose trade counts give the branching ratio."""
    count_bins: int = 60
    """Time bins in its window."""
    propagator_exponent: float = 0.25
    """Impact fades with the number of trades since, as (1 + lag / propagator_lag) ** -propagator_exponent."""
    propagator_lag: float = 20.0
    """Lag, in trades, from which on impact fades as a power."""
    propagator_memory: int = 1_000
    """Lag, in trades, up to which the power law holds."""
    vpin_trades: int = 100
    """Size of a VPIN bucket, in trades of average size."""
    vpin_buckets: int = 50
    """Buckets in the VPIN window."""
    max_silence_ms: int = 60_000
    """A longer time without a trade starts everything afresh."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="TradeParameters", remedy=remedy)

        lags = self.sign_lags
        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")
        if not 1 <= self.fast_ms < self.slow_ms:
            refuse(f"fast_ms {self.fast_ms} and slow_ms {self.slow_ms} do not fit", "use 1 <= fast < slow")
        if not lags or lags[0] < 1 or any(a >= b for a, b in pairwise(lags)):
            refuse(f"sign_lags {lags} do not increase from 1 or more", "for example (1, 10)")
        if not 1 <= self.sign_word <= 10:
            refuse(f"sign_word {self.sign_word} is not in 1 .. 10", "3 is the default")
        if not 0.0 < self.large_quantile < 1.0:
            refuse(f"large_quantile {self.large_quantile} is not between 0 and 1", "0.95 is the default")
        if not (self.hawkes_base > 0.0 and self.hawkes_self >= 0.0 and self.hawkes_cross >= 0.0):
            refuse("a Hawkes rate is negative, or the base is 0", "use base > 0, self >= 0 and cross >= 0")
        if not self.hawkes_self + self.hawkes_cross < self.hawkes_decay < math.inf:
            refuse(f"hawkes_decay {self.hawkes_decay} lets excitement explode", "use self + cross < decay")
        if not (self.count_ms >= 1 and self.count_bins >= 2):
            refuse(f"{self.count_bins} bins of {self.count_ms} ms are no window", "use 2 bins of 1 ms or more")
        if not 0.0 < self.propagator_exponent < 1.0:
            refuse(f"propagator_exponent {self.propagator_exponent} is not between 0 and 1", "0.25 is the default")
        if not 1.0 <= self.propagator_lag <= self.propagator_memory:
            refuse(f"propagator_lag {self.propagator_lag} does not fit its memory", "use 1 <= lag <= memory")
        if not (self.vpin_trades >= 1 and self.vpin_buckets >= 1):
            refuse(f"{self.vpin_buckets} buckets of {self.vpin_trades} trades are no window", "use 1 or more of both")
        if not self.max_silence_ms >= 1:
            refuse(f"max_silence_ms {self.max_silence_ms} is not positive", "60000 is the default")


@dataclass(frozen=True)
class CrossParameters:
    """Windows, in bars, of the features that compare a market with a leader's."""

    leader: str = "leader"
    """First part of each feature's name: "btc", say, so that several leaders can stand side by side."""
    interval_ms: int = 60_000
    """Milliseconds from one bar's open to the next."""
    horizons: tuple[int, ...] = (1, 2, 5, 15)
    """Look-backs of the leader's and the residual returns, increasing."""
    short: int = 15
    """Short window."""
    long: int = 60
    """Long window; also the window of the volatilities and of beta."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="CrossParameters", remedy=remedy)

        horizons = self.horizons
        if not self.leader.isidentifier():
            refuse(f"leader {self.leader!r} is not a name", "use letters, digits and underscores, for example btc")
        if self.interval_ms <= 0:
            refuse(f"interval_ms {self.interval_ms} is not positive", "60000 is one minute")
        if not horizons or horizons[0] < 1 or any(a >= b for a, b in pairwise(horizons)):
            refuse(f"horizons {horizons} do not increase from 1 or more", "for example (1, 5, 15)")
        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")


@dataclass(frozen=True)
class QuoteParameters:
    """Windows of the level-1 features, as counts of quotes and as times; names carry the window they were made with."""

    short: int = 50
    """Short window, in quotes."""
    long: int = 500
    """Long window, in quotes; also the window of the mean depth that order flow is measured in."""
    fast_ms: int = 1_000
    """Fast time constant: a quote's weight falls by e in this many milliseconds."""
    slow_ms: int = 10_000
    """Slow time constant."""
    imbalance_buckets: int = 10
    """Buckets of equal width that the micro-price cuts the imbalance into."""
    spread_ticks: int = 2
    """Widest spread, in ticks, that is a state of its own in the micro-price."""
    microprice_refit: int = 1_000
    """Quotes between two fits of the micro-price, each on all quotes since the stretch began."""
    max_silence_ms: int = 60_000
    """A longer time without a quote starts everything afresh."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="QuoteParameters", remedy=remedy)

        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")
        if not 1 <= self.fast_ms < self.slow_ms:
            refuse(f"fast_ms {self.fast_ms} and slow_ms {self.slow_ms} do not fit", "use 1 <= fast < slow")
        if not 2 <= self.imbalance_buckets * self.spread_ticks <= 100:
            refuse(
                f"{self.imbalance_buckets} buckets x {self.spread_ticks} spreads are not 2 .. 100 states",
                "10 x 2 is the default",
            )
        if not (self.imbalance_buckets >= 1 and self.spread_ticks >= 1):
            refuse("imbalance_buckets and spread_ticks must be positive", "10 and 2 are the defaults")
        if not self.microprice_refit >= 1:
            refuse(f"microprice_refit {self.microprice_refit} is not positive", "1000 is the default")
        if not self.max_silence_ms >= 1:
            refuse(f"max_silence_ms {self.max_silence_ms} is not positive", "60000 is the default")


@dataclass(frozen=True)
class BookParameters:
    """Windows, in book updates, and sizes of the level-2 features; names carry the window they were made with."""

    short: int = 20
    """Short window, in updates; also the size of the buckets of order flow whose main component is followed."""
    long: int = 200
    """Long window, in updates; also the window of the mean depths that order flow and depth are measured in."""
    near_bps: tuple[float, ...] = (1.0, 10.0)
    """Depth counts as near up to each of these distances from the mid; increasing."""
    sweep_notional: float = 100_000.0
    """Size of the order whose cost is read off the book, in units of price times quantity."""
    component_half_life: int = 100
    """Buckets of order flow after which a bucket's weight in the main component has halved."""
    max_silence_ms: int = 60_000
    """A longer time without an update starts everything afresh."""

    def __post_init__(self) -> None:
        def refuse(what: str, remedy: str) -> None:
            raise InputError(what, where="BookParameters", remedy=remedy)

        if not 8 <= self.short < self.long:
            refuse(f"short {self.short} and long {self.long} do not fit", "use 8 <= short < long")
        if not self.near_bps or not self.near_bps[0] > 0.0 or any(a >= b for a, b in pairwise(self.near_bps)):
            refuse(f"near_bps {self.near_bps} do not increase from above 0", "for example (1.0, 10.0)")
        if not 0.0 < self.sweep_notional < math.inf:
            refuse(f"sweep_notional {self.sweep_notional} is no size", "100000 is the default")
        if not self.component_half_life >= 1:
            refuse(f"component_half_life {self.component_half_life} is not positive", "100 is the default")
        if not self.max_silence_ms >= 1:
            refuse(f"max_silence_ms {self.max_silence_ms} is not positive", "60000 is the default")


@dataclass(frozen=True)
class NormaliserConfig:
    """Online normalisation of feature rows, see `features.normalisation`. All lengths are in rows with values."""

    half_life_rows: float = 1_440.0
    """After so many rows a value counts half in mean and variance."""
    min_rows: int = 360
    """Rows that must have come, the current one included, before values appear."""
    clip: float = 8.0
    """Largest magnitude of a normalised value."""
    outlier_sd: float = math.inf
    """Robust variant: a value enters mean and variance as if it lay at most so many standard deviations from the mean
    before it (3 is usual); inf takes values as they are."""

    def __post_init__(self) -> None:
        where = "NormaliserConfig"
        if not 0 < self.half_life_rows < math.inf:
            raise InputError(
                f"half_life_rows {self.half_life_rows} is not positive", where=where, remedy="give rows, such as 1440"
            )
        if self.min_rows < 1:
            raise InputError(f"min_rows {self.min_rows} is below 1", where=where, remedy="use 1 or more")
        if not self.clip > 0:
            raise InputError(
                f"clip {self.clip} is not positive", where=where, remedy="8 is the default, inf clips none"
            )
        if not self.outlier_sd > 1:
            raise InputError(
                f"outlier_sd {self.outlier_sd} is not above 1", where=where, remedy="3 is usual, inf bounds nothing"
            )
