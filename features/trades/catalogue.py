"""The trade features as data: what each one is called, needs, means, and which source its formula follows.

The order of `trade_catalogue` is the order in which the compiled step (`features.trades.kernel`) writes a row. Formulas
use, per trade: price P, p = ln P, r = p - p[-1], size q, sign ε (+1 when the buyer was the taker, -1 when the seller
was, as the venue says), time t. Σ_n and mean_n reach over the last n trades, this one included. Σ_τ x is a sum over all
trades of the stretch with weights e^(-(t - tᵢ) / τ), τ in milliseconds; balance(a, b) = (a - b) / (a + b), 0 when both
are 0. The row of a trade includes the trade itself; trades with one time stamp keep the order in which they came.
"""

from features.config import TradeParameters
from features.spec import FeatureSpec, Kind

PRICE = ("price",)
QTY = ("qty",)
SIGN = ("buyer_is_maker",)
FLOW = ("qty", "buyer_is_maker")
ALL = ("price", "qty", "buyer_is_maker")
TIME = ("time_ns",)


def _flow(p: TradeParameters) -> list[FeatureSpec]:
    flag = "the venue's own taker flag"
    volumes = "balance of the sizes bought and sold by takers"
    counts = "balance of the numbers of trades bought and sold by takers"
    specs = []
    for n in (p.short, p.long):
        specs += [
            FeatureSpec(f"trade_flow_{n}", "flow", FLOW, n, n - 1, f"{volumes}, Σ_{n}", flag),
            FeatureSpec(f"trade_sign_{n}", "flow", SIGN, n, n - 1, f"mean_{n} ε: {counts}", flag),
        ]
    for ms in (p.fast_ms, p.slow_ms):
        about = f"exponential in time, τ = {ms} ms"
        specs += [
            FeatureSpec(f"trade_flow_{ms}ms", "flow", FLOW, 0, 0, f"{volumes}, Σ_τ, {about}", flag),
            FeatureSpec(f"trade_sign_{ms}ms", "flow", SIGN, 0, 0, f"{counts}, Σ_τ, {about}", flag),
        ]
    return specs


def _sizes(p: TradeParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    large = (
        f"large: q > the {p.large_quantile:g} quantile (⌈{p.large_quantile:g} n⌉-th smallest) of the {n} sizes before"
    )
    source = "large against small trades, after Barclay & Warner 1993"
    return [
        FeatureSpec(
            f"large_trade_share_{s}", "size", QTY, s, n + s - 1, f"Σ_{s} q of large trades / Σ_{s} q; {large}", source
        ),
        FeatureSpec(
            f"large_trade_flow_{s}", "size", FLOW, s, n + s - 1, f"Σ_{s} ε q of large trades / Σ_{s} q; {large}", source
        ),
        FeatureSpec(
            f"size_herfindahl_{n}",
            "size",
            QTY,
            n,
            n - 1,
            f"(n H - 1) / (n - 1), H = Σ_{n} q² / (Σ_{n} q)²: 0 equal sizes, 1 a single trade has all",
            "Herfindahl 1950, normalised",
        ),
    ]


def _signs(p: TradeParameters) -> list[FeatureSpec]:
    s, n, w = p.short, p.long, p.sign_word
    tick = "s = sign of the last price change, 0 before the first"
    return [
        FeatureSpec("tick_rule", "sign", PRICE, 1, 0, tick, "tick test, Lee & Ready 1991"),
        FeatureSpec(
            f"tick_rule_agreement_{s}",
            "sign",
            ("price", "buyer_is_maker"),
            s,
            s,
            f"mean_{s} ε s: 1 when the tick rule always agrees with the venue's flag, -1 when never",
            "tick test, Lee & Ready 1991",
        ),
        FeatureSpec(
            f"tick_momentum_{s}",
            "sign",
            PRICE,
            s,
            s,
            f"balance of the up and down ticks among the last {s} price changes",
            "tick imbalance, Lopez de Prado 2018, ch. 2",
        ),
        *[
            FeatureSpec(
                f"sign_autocorrelation_{lag}_{n}",
                "sign",
                SIGN,
                n,
                n - 1 + lag,
                f"corr_{n}(ε, ε[-{lag}]); 0 when either is constant",
                "Lillo & Farmer 2004",
            )
            for lag in p.sign_lags
        ],
        FeatureSpec(
            f"sign_entropy_{n}",
            "sign",
            SIGN,
            n,
            n + w - 2,
            f"entropy of the words of {w} successive signs that end in the last {n} trades, in bits, / {w}",
            "block entropy, Shannon 1948",
        ),
    ]


def _timing(p: TradeParameters) -> list[FeatureSpec]:
    n = p.long
    family = "timing"
    rates = f"balance of the trade rates at τ = {p.fast_ms} and {p.slow_ms} ms"
    alpha = f"α = {p.hawkes_self:g} (own side), {p.hawkes_cross:g} (other)"
    excite = f"μ = {p.hawkes_base:g}, {alpha}, β = {p.hawkes_decay:g} per s"
    hawkes = "Hawkes 1971; Bacry, Mastromatteo & Muzy 2015"
    counts = f"counts in the last {p.count_bins} closed bins of {p.count_ms} ms (fewer when the stretch is younger)"
    branching = "Hardiman & Bouchaud 2014"
    return [
        FeatureSpec(
            f"trade_duration_{n}",
            family,
            TIME,
            n,
            n,
            f"ln((d + 1) / (mean_{n} d + 1)), d = t - t[-1] in ms (1 ms: the resolution of exchange clocks)",
            "Engle & Russell 1998",
        ),
        FeatureSpec(
            f"burstiness_{n}",
            family,
            TIME,
            n,
            n,
            f"(sd - mean) / (sd + mean) of the last {n} d, sd with n: 0 Poisson, -1 regular, towards 1 bursts",
            "Goh & Barabasi 2008",
        ),
        FeatureSpec(
            f"trade_rate_{p.fast_ms}_{p.slow_ms}ms",
            family,
            TIME,
            0,
            0,
            f"{rates}, rate = Σ_τ 1 / (τ (1 - e^(-age / τ))), age of the stretch; 0 while age = 0",
            "ratio of fast and slow arrival rates",
        ),
        *[
            FeatureSpec(
                f"hawkes_{side}",
                family,
                SIGN,
                0,
                0,
                f"ln(λ / μ), λ = μ + Σ α e^(-β (t - tᵢ)) of {side}s; {excite}",
                hawkes,
            )
            for side in ("buy", "sell")
        ],
        FeatureSpec("hawkes_imbalance", family, SIGN, 0, 0, "balance(λ of buys, λ of sells)", hawkes),
        FeatureSpec(
            "branching_ratio",
            family,
            TIME,
            0,
            0,
            f"max(0, 1 - √(mean / var)) of {counts}; 0 before two are closed",
            branching,
        ),
        FeatureSpec(
            "branching_asymmetry",
            family,
            SIGN,
            0,
            0,
            "branching ratio of the buys' counts minus that of the sells'",
            branching,
        ),
    ]


def _impact(p: TradeParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    family = "impact"
    kernel = f"G(k) = (1 + k / {p.propagator_lag:g})^-{p.propagator_exponent:g}"
    return [
        FeatureSpec(
            "propagator",
            family,
            SIGN,
            p.propagator_memory,
            0,
            f"Σ G(k) ε[-k] / Σ G(k) over the stretch, {kernel} as a sum of exponentials (`features.trades.propagator`)",
            "Bouchaud, Gefen, Potters & Wyart 2004",
        ),
        FeatureSpec(
            f"vwap_gap_{n}",
            family,
            ALL,
            n,
            n - 1,
            f"10⁴ (VWAP of buys - VWAP of sells) / P over {n} trades; 0 when one side has no volume",
            "volume-weighted average price by side",
        ),
        FeatureSpec(
            f"price_change_per_trade_{s}",
            family,
            PRICE,
            s,
            s,
            f"10⁴ (p - p[-{s}]) / {s}",
            "mean return per trade, in bps",
        ),
        FeatureSpec(
            f"trade_volatility_{n}",
            family,
            PRICE,
            n,
            n,
            f"ln(10⁴ √(Σ_{n} r²)), Σ no less than 1e-14",
            "realised variance of trade prices, Andersen-Bollerslev 1998",
        ),
        FeatureSpec(
            f"trade_roll_{n}", family, PRICE, n, n + 1, f"10⁴ · 2 √max(0, -cov_{n}(r, r[-1])), in bps", "Roll 1984"
        ),
        FeatureSpec(
            f"trade_kyle_lambda_{n}",
            family,
            ALL,
            n,
            n,
            f"10⁴ λ sd_{n}(ε q), λ = cov_{n}(r, ε q) / var_{n}(ε q): bps per sd of signed size; 0 when that is 0",
            "Kyle 1985",
        ),
        FeatureSpec(
            "vpin",
            family,
            FLOW,
            p.vpin_trades * p.vpin_buckets,
            0,
            f"Σ |V⁺ - V⁻| / Σ V of the last {p.vpin_buckets} full buckets (fewer in a young stretch, 0 before one);"
            f" one holds {p.vpin_trades} × the mean of the last {n} sizes as it opens; trades are split at its rim",
            "Easley, Lopez de Prado & O'Hara 2012, with the venue's flag",
        ),
    ]


def trade_catalogue(parameters: TradeParameters) -> tuple[FeatureSpec, ...]:
    """Every trade feature for these windows, in the order of the columns."""
    p = parameters
    return tuple(_flow(p) + _sizes(p) + _signs(p) + _timing(p) + _impact(p))


TRADES = Kind(
    name="trades",
    time_field="time_ns",
    fields=("price", "qty", "buyer_is_maker"),
    optional=(),
    parameters=TradeParameters,
    catalogue=trade_catalogue,
)
