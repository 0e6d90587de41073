"""The bar features as data: what each one is called, needs, means, and which source its formula follows.

The order of `bar_catalogue` is the order in which the compiled step (`features.bars.kernel`) writes a row. Imports
nothing heavy: listing the features needs no compiler.
"""

from features.bars.fields import BAR_FIELDS, CLOSE, HLC, OHLC, OPTIONAL_FIELDS, TAKER
from features.config import BarParameters
from features.spec import FeatureSpec, Kind


def _returns(p: BarParameters) -> list[FeatureSpec]:
    source = "log return over the volatility known at the same close"
    return [
        FeatureSpec(f"return_{k}", "returns", CLOSE, k, max(k, p.long), f"ln(C / C[-{k}]) / (σ √{k})", source)
        for k in p.horizons
    ]


def _candle(p: BarParameters) -> list[FeatureSpec]:
    def shape(name: str, inputs: tuple[str, ...], formula: str) -> FeatureSpec:
        return FeatureSpec(name, "candle", inputs, 1, 0, f"{formula}; 0 when H = L", "candlestick geometry")

    return [
        shape("close_location", HLC, "(2C - H - L) / (H - L)"),
        shape("body", OHLC, "(C - O) / (H - L)"),
        shape("upper_wick", OHLC, "(H - max(O, C)) / (H - L)"),
        shape("lower_wick", OHLC, "(min(O, C) - L) / (H - L)"),
        FeatureSpec("range", "candle", HLC, 1, p.long, "ln(H / L) / σ", "candlestick geometry"),
    ]


def _trend(p: BarParameters) -> list[FeatureSpec]:
    n = p.long
    formula = f"(p - mean_{n} p) / sd_{n} p, sd with n - 1; 0 when sd = 0"
    return [FeatureSpec(f"ma_zscore_{n}", "trend", CLOSE, n, n - 1, formula, "z-score against a moving average")]


def _volatility(p: BarParameters) -> list[FeatureSpec]:
    n, s = p.long, p.short

    def spec(name: str, inputs: tuple[str, ...], warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "volatility", inputs, n, warmup, formula, reference)

    return [
        spec(f"realised_volatility_{n}", CLOSE, n, f"ln(10⁴ √RV), RV = mean_{n} r²", "Andersen-Bollerslev 1998"),
        spec(
            f"bipower_volatility_{n}",
            CLOSE,
            n + 1,
            f"ln(10⁴ √BV), BV = (π/2) mean_{n} |r| |r[-1]|",
            "Barndorff-Nielsen & Shephard 2004",
        ),
        spec(f"jump_share_{n}", CLOSE, n + 1, "max(0, 1 - BV / RV)", "Barndorff-Nielsen & Shephard 2004"),
        spec(
            f"semivariance_{n}",
            CLOSE,
            n,
            "(Σ r² of rises - Σ r² of falls) / Σ r²",
            "Barndorff-Nielsen, Kinnebrock & Shephard 2010",
        ),
        spec(f"parkinson_{n}", HLC, n, f"balance(mean_{n} ln²(H/L) / (4 ln 2), RV)", "Parkinson 1980"),
        spec(
            f"garman_klass_{n}",
            OHLC,
            n,
            f"balance(mean_{n} [½ ln²(H/L) - (2 ln 2 - 1) ln²(C/O)], RV)",
            "Garman & Klass 1980",
        ),
        spec(
            f"rogers_satchell_{n}",
            OHLC,
            n,
            f"balance(mean_{n} [ln(H/C) ln(H/O) + ln(L/C) ln(L/O)], RV)",
            "Rogers & Satchell 1991",
        ),
        spec(
            f"volatility_ratio_{s}_{n}", CLOSE, n, f"balance(mean_{s} r², RV)", "short against long realised variance"
        ),
    ]


def _dependence(p: BarParameters) -> list[FeatureSpec]:
    n, q = p.long, p.aggregation
    return [
        FeatureSpec(
            f"variance_ratio_{q}_{n}",
            "dependence",
            CLOSE,
            n,
            n,
            f"VR({q}) - 1 of the last {n} returns, overlapping, unbiased; 0 when they are all equal",
            "Lo & MacKinlay 1988",
        ),
        FeatureSpec(
            f"autocorrelation_{n}",
            "dependence",
            CLOSE,
            n,
            n + 1,
            f"corr_{n}(r, r[-1]); 0 when either is constant",
            "lag-1 sample autocorrelation",
        ),
    ]


def _flow(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    flag = "the exchange's own taker flag"

    def spec(name: str, window: int, warmup: int, formula: str, reference: str = flag) -> FeatureSpec:
        return FeatureSpec(name, "flow", TAKER, window, warmup, formula, reference)

    averages = [
        spec(f"taker_imbalance_ema_{k}", k, 0, f"ema_{k} δ / ema_{k} V; 0 when ema_{k} V = 0")
        for k in (p.fast_span, p.slow_span)
    ]
    sums = [spec(f"cumulative_delta_{k}", k, k - 1, f"Σ_{k} δ / √(Σ_{k} δ²); 0 when no δ") for k in (s, n)]
    divergence = FeatureSpec(
        f"delta_price_divergence_{s}",
        "flow",
        ("close", *TAKER),
        s,
        s,
        f"cumulative_delta_{s} - Σ_{s} r / √(Σ_{s} r²)",
        "cumulative volume delta against price, both standardised",
    )
    return [spec("taker_imbalance", 1, 0, "δ / V; 0 when V = 0"), *averages, *sums, divergence]


def _activity(p: BarParameters) -> list[FeatureSpec]:
    n = p.long

    def spec(name: str, inputs: tuple[str, ...], what: str) -> FeatureSpec:
        formula = f"({what} - mean_{n}) / sd_{n}, sd with n - 1; 0 when sd = 0"
        return FeatureSpec(f"{name}_{n}", "activity", inputs, n, n - 1, formula, "rolling z-score")

    return [
        spec("volume_zscore", ("volume",), "V"),
        spec("trade_count_zscore", ("trades",), "N"),
        spec("trade_size_zscore", ("volume", "trades"), "V/N (0 when N = 0)"),
    ]


def _liquidity(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    quote = ("close", "volume", "quote_volume")

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "liquidity", inputs, window, warmup, formula, ref)

    return [
        spec("vwap_deviation", quote, 1, n, "ln(C V / Q) / σ; 0 when V or Q = 0", "Berkowitz, Logue & Noser 1988"),
        spec(
            f"vwap_deviation_{n}",
            quote,
            n,
            n,
            f"ln(C Σ_{n} V / Σ_{n} Q) / (σ √{n}); 0 when a sum is 0",
            "Berkowitz, Logue & Noser 1988",
        ),
        spec(
            f"amihud_{s}_{n}",
            ("close", "quote_volume"),
            n,
            n,
            f"balance(A_{s}, A_{n}), A_k = mean of |r| / Q over those of the last k bars with Q > 0",
            "Amihud 2002",
        ),
        spec(
            f"corwin_schultz_{n}",
            HLC,
            n,
            n,
            f"mean_{n} max(0, 2 (e^α - 1) / (1 + e^α)) / σ over pairs of bars, no overnight adjustment",
            "Corwin & Schultz 2012",
        ),
        spec(
            f"abdi_ranaldo_{n}",
            HLC,
            n,
            n,
            f"√max(0, 4 mean_{n} (p[-1] - η[-1]) (p[-1] - η)) / σ, η = (ln H + ln L) / 2",
            "Abdi & Ranaldo 2017",
        ),
        spec(
            f"kyle_lambda_{n}",
            ("close", *TAKER),
            n,
            n,
            f"λ sd(δ) / sd(r), λ = cov_{n}(r, δ) / var_{n}(δ); 0 when either is constant",
            "Kyle 1985",
        ),
    ]


def _time() -> list[FeatureSpec]:
    return [
        FeatureSpec(
            f"time_of_day_{name}",
            "time",
            ("open_time_ms",),
            1,
            0,
            f"{name}(2π · UTC time of the close / 1 day)",
            "clock",
        )
        for name in ("sin", "cos")
    ]


def bar_catalogue(parameters: BarParameters) -> tuple[FeatureSpec, ...]:
    """Every bar feature for these windows, in the order of the columns."""
    p = parameters
    price = _returns(p) + _candle(p) + _trend(p)
    return tuple(price + _volatility(p) + _dependence(p) + _flow(p) + _activity(p) + _liquidity(p) + _time())


BARS = Kind("bars", "open_time_ms", BAR_FIELDS, OPTIONAL_FIELDS, BarParameters, bar_catalogue)
