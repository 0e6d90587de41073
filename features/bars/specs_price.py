"""The further bar features made from prices alone, as data: momentum, channels, moments, ranges, HAR terms, memory and
complexity. See `features.bars.catalogue` for what the signs mean; s and n are the short and the long window.
"""

from features.bars.fields import CLOSE, HLC, OHLC
from features.config import BarParameters
from features.spec import FeatureSpec


def momentum(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    fast, slow, signal = p.macd

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "momentum", inputs, window, warmup, formula, ref)

    wilder = f"Wilder averages of weight 1/{s}"
    return [
        *(spec(f"log_return_{k}", CLOSE, k, k, f"10⁴ ln(C / C[-{k}])", "log return in bps") for k in p.horizons),
        spec("open_gap", ("open", "close"), 1, n, "ln(O / C[-1]) / σ", "opening gap"),
        spec(f"sign_run_{n}", CLOSE, n, n, f"± (1 - 2^-L), L last returns of one sign (at most {n})", "run of signs"),
        *(
            spec(f"efficiency_ratio_{w}", CLOSE, w, w, f"ln(C / C[-{w}]) / Σ_{w} |r|; 0 when no r", "Kaufman 1995")
            for w in (s, n)
        ),
        *(
            spec(
                f"rsi_{w}", CLOSE, w, w, f"RSI / 50 - 1, Wilder averages of weight 1/{w} of log returns", "Wilder 1978"
            )
            for w in (s, n)
        ),
        spec(f"macd_{fast}_{slow}", CLOSE, slow, n, f"(ema_{fast} p - ema_{slow} p) / σ", "Appel 1979"),
        spec(
            f"macd_histogram_{fast}_{slow}_{signal}",
            CLOSE,
            slow,
            n,
            f"(m - ema_{signal} m) / σ, m = ema_{fast} p - ema_{slow} p",
            "Appel 1979",
        ),
        spec(
            f"directional_movement_{s}",
            ("high", "low"),
            s,
            s,
            f"(DM⁺ - DM⁻) / (DM⁺ + DM⁻), {wilder} of log movements; 0 when none",
            "Wilder 1978",
        ),
        spec(f"directional_index_{s}", ("high", "low"), s, 2 * s - 1, f"ADX / 100, {wilder}", "Wilder 1978"),
        *(spec(f"sign_balance_{w}", CLOSE, w, w, f"(rises - falls) / {w}", "sign statistic") for w in (s, n)),
        spec(
            f"channel_index_{s}",
            HLC,
            s,
            s - 1,
            f"0.015 CCI: (m - mean_{s} m) / mean_{s} |m - mean|, m = (ln H + ln L + ln C) / 3; 0 when m is constant",
            "Lambert 1980",
        ),
        spec(
            f"ma_zscore_{s}",
            CLOSE,
            s,
            s - 1,
            f"(p - mean_{s} p) / sd_{s} p, sd with n - 1; 0 when sd = 0",
            "z-score against a moving average",
        ),
    ]


def channel(p: BarParameters) -> list[FeatureSpec]:
    n = p.long

    def specs(w: int) -> list[FeatureSpec]:
        def spec(name: str, inputs: tuple[str, ...], warmup: int, formula: str, ref: str) -> FeatureSpec:
            return FeatureSpec(f"{name}_{w}", "channel", inputs, w, warmup, formula, ref)

        top, bottom = f"max_{w} ln H", f"min_{w} ln L"
        flat = f"0 when {top} = {bottom}"
        line = f"least squares of p on time over {w} closes"
        return [
            spec("trend_slope", CLOSE, n, f"√{w} slope / σ, {line}", "Gauss 1809"),
            spec("trend_r2", CLOSE, w - 1, f"R² with the slope's sign, {line}; 0 when p is constant", "Gauss 1809"),
            spec("donchian", HLC, w - 1, f"(2p - {top} - {bottom}) / ({top} - {bottom}); {flat}", "Williams 1973 (%R)"),
            spec(
                "aroon",
                ("high", "low"),
                w - 1,
                f"(bars since {bottom} - bars since {top}) / ({w} - 1), the latest of equals",
                "Chande 1995",
            ),
            spec("drawdown", ("high", "close"), n, f"(p - {top}) / (σ √{w})", "drawdown from the window's high"),
            spec("rally", ("low", "close"), n, f"(p - {bottom}) / (σ √{w})", "rise from the window's low"),
            spec(
                "choppiness",
                HLC,
                w,
                f"ln(Σ_{w} TR / ({top} - {bottom})) / ln {w}, TR = ln(max(H, C[-1]) / min(L, C[-1])); {flat}",
                "Dreiss 1993",
            ),
            spec("band_width", CLOSE, n, f"sd_{w} p / (σ √{w}), sd with n - 1", "Bollinger 1992"),
        ]

    return specs(p.short) + specs(n)


def moments(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(f"{name}_{window}", "moments", CLOSE, window, warmup, formula, ref)

    def by_window(w: int) -> list[FeatureSpec]:
        higher = "Amaya, Christoffersen, Jacobs & Vasquez 2015"
        return [
            spec("quarticity", w, w, f"ln(10⁴ ⁴√(mean_{w} r⁴ / 3))", "Barndorff-Nielsen & Shephard 2002"),
            spec("realised_skewness", w, w, f"√{w} Σ_{w} r³ / (Σ_{w} r²)^1.5; 0 when no r", higher),
            spec("realised_kurtosis", w, w, f"ln({w} Σ_{w} r⁴ / (Σ_{w} r²)²); 0 when no r", higher),
        ]

    jump = "Barndorff-Nielsen & Shephard 2004"
    robust = "Andersen, Dobrev & Schaumburg 2012"
    return [
        spec("realised_volatility", s, s, f"ln(10⁴ √RV), RV = mean_{s} r²", "Andersen-Bollerslev 1998"),
        spec("bipower_volatility", s, s + 1, f"ln(10⁴ √BV), BV = (π/2) mean_{s} |r| |r[-1]|", jump),
        spec("jump_share", s, s + 1, f"max(0, 1 - BV / RV) over {s}", jump),
        spec(
            "semivariance",
            s,
            s,
            f"(Σ r² of rises - Σ r² of falls) / Σ r² over {s}",
            "Barndorff-Nielsen, Kinnebrock & Shephard 2010",
        ),
        *by_window(s),
        *by_window(n),
        spec(
            "jump_statistic",
            n,
            n + 3,
            f"(1 - BV / RV) / √((π²/4 + π - 5) / {n} · max(1, QQ / BV²)), QQ = (π²/4) mean_{n} |r r[-1] r[-2] r[-3]|",
            "Huang & Tauchen 2005",
        ),
        spec("minimum_variance", n, n + 1, f"balance(π/(π - 2) mean_{n} min(|r|, |r[-1]|)², RV)", robust),
        spec(
            "median_variance",
            n,
            n + 2,
            f"balance(π/(6 - 4√3 + π) mean_{n} median(|r|, |r[-1]|, |r[-2]|)², RV)",
            robust,
        ),
        spec(
            "volatility_of_volatility",
            n,
            n + s - 1,
            f"sd_{n} v / mean_{n} v, v = √mean_{s} r²; 0 when v is constant",
            "coefficient of variation of realised volatility",
        ),
        spec("leverage_effect", n, n + 1, f"corr_{n}(r[-1], r²); 0 when either is constant", "Bouchaud et al. 2001"),
        spec("largest_move", n, n, f"max_{n} r² / Σ_{n} r²; 0 when no r", "share of the largest squared return"),
    ]


def ranges(p: BarParameters) -> list[FeatureSpec]:
    s = p.short

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(f"{name}_{window}", "ranges", inputs, window, warmup, formula, ref)

    def yang_zhang(w: int) -> FeatureSpec:
        formula = (
            f"balance(var_{w} ln(O/C[-1]) + k var_{w} ln(C/O) + (1 - k) mean_{w} RS, RV), "
            f"k = 0.34 / (1.34 + {w + 1} / {w - 1}), RS as in rogers_satchell"
        )
        return spec("yang_zhang", OHLC, w, w, formula, "Yang & Zhang 2000")

    average = f"Wilder average of weight 1/{s} of TR = ln(max(H, C[-1]) / min(L, C[-1]))"
    return [
        spec("parkinson", HLC, s, s, f"balance(mean_{s} ln²(H/L) / (4 ln 2), RV)", "Parkinson 1980"),
        spec(
            "garman_klass",
            OHLC,
            s,
            s,
            f"balance(mean_{s} [½ ln²(H/L) - (2 ln 2 - 1) ln²(C/O)], RV)",
            "Garman & Klass 1980",
        ),
        spec(
            "rogers_satchell",
            OHLC,
            s,
            s,
            f"balance(mean_{s} [ln(H/C) ln(H/O) + ln(L/C) ln(L/O)], RV)",
            "Rogers & Satchell 1991",
        ),
        yang_zhang(s),
        yang_zhang(p.long),
        spec("true_range", HLC, s, s, f"ln(10⁴ ATR), {average}", "Wilder 1978"),
        spec("range_expansion", HLC, s, s, f"balance(TR, ATR), {average}", "Wilder 1978"),
    ]


def har(p: BarParameters) -> list[FeatureSpec]:
    n, day, week = p.long, p.day, p.day * p.days

    def spec(name: str, window: int, formula: str) -> FeatureSpec:
        return FeatureSpec(name, "har", CLOSE, window, window, formula, "Corsi 2009")

    return [
        spec(f"realised_volatility_{day}", day, f"ln(10⁴ √mean_{day} r²)"),
        spec(f"realised_volatility_{week}", week, f"ln(10⁴ √mean_{week} r²)"),
        spec(f"volatility_ratio_{n}_{day}", max(n, day), f"balance(mean_{n} r², mean_{day} r²)"),
        spec(f"volatility_ratio_{day}_{week}", week, f"balance(mean_{day} r², mean_{week} r²)"),
    ]


def memory(p: BarParameters) -> list[FeatureSpec]:
    n = p.long

    def spec(name: str, window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "memory", CLOSE, window, warmup, formula, ref)

    lags = ", ".join(map(str, sorted({1, p.aggregation, *p.other_aggregations})))
    h = f"{p.cusum_threshold:g}"
    up, down = (f"S / {h}, S = max(0, S[-1] {sign} r / σ), from 0 at first and after it passed {h}" for sign in "+-")
    filters = "Page 1954; López de Prado 2018"
    return [
        *(
            spec(
                f"variance_ratio_{q}_{n}",
                n,
                n,
                f"VR({q}) - 1 of the last {n} returns, overlapping, unbiased; 0 when they are all equal",
                "Lo & MacKinlay 1988",
            )
            for q in p.other_aggregations
        ),
        spec(
            f"hurst_{n}",
            n,
            n,
            f"½ slope of ln m_q on ln q, m_q = mean (p - p[-q])² within the last {n} returns, at least 10⁻⁴ q m_1, "
            f"q = {lags}; ½ when no r",
            "Di Matteo 2007",
        ),
        *(
            spec(
                f"autocorrelation_{k}_{n}",
                n,
                n + k,
                f"corr_{n}(r, r[-{k}]); 0 when either is constant",
                "sample autocorrelation",
            )
            for k in p.lags
        ),
        spec(
            f"volatility_clustering_{n}",
            n,
            n + 1,
            f"corr_{n}(|r|, |r[-1]|); 0 when either is constant",
            "Ding, Granger & Engle 1993",
        ),
        *(
            spec(
                f"fractional_{d:g}_{p.fraction_taps}",
                p.fraction_taps,
                max(n, p.fraction_taps),
                f"Σ c_k r[-k] / (σ √Σ c_k²), c_0 = 1, c_k = c_(k-1) (k - {d:g}) / k, k < {p.fraction_taps}: "
                f"(1 - L)^{d:g} of the path of p since its start",
                "Hosking 1981; López de Prado 2018",
            )
            for d in p.fraction_orders
        ),
        spec("cusum_up", n, n, up, filters),
        spec("cusum_down", n, n, down, filters),
    ]


def complexity(p: BarParameters) -> list[FeatureSpec]:
    n, word, m = p.long, p.word, p.signs

    def spec(name: str, window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "complexity", CLOSE, window, warmup, formula, ref)

    return [
        spec(
            f"sign_entropy_{word}_{n}",
            n,
            n + word - 1,
            f"entropy of the last {n} words of {word} signs (r > 0 or not) / ({word} ln 2)",
            "Shannon 1948",
        ),
        spec(
            f"permutation_entropy_{n}",
            n,
            n + 1,
            f"entropy of the last {n} orders of three closes / ln 6; of equals the earlier counts as lower",
            "Bandt & Pompe 2002",
        ),
        spec(
            f"lempel_ziv_{m}",
            m,
            m,
            f"phrases of the exhaustive history of the last {m} signs (r > 0 or not) · log2({m}) / {m}",
            "Lempel & Ziv 1976",
        ),
    ]


def price_specs(p: BarParameters) -> list[FeatureSpec]:
    """All of them, in the order of the columns."""
    return momentum(p) + channel(p) + moments(p) + ranges(p) + har(p) + memory(p) + complexity(p)
