"""The level-1 features as data, in the order in which the compiled step (`features.quotes.kernel`) writes a row."""

from features.config import QuoteParameters
from features.spec import FeatureSpec, Kind

QUOTE_FIELDS: tuple[str, ...] = ("bid_px", "bid_sz", "ask_px", "ask_sz")
"""Best bid and ask with their quantities, named as in recordings."""
SIZES = ("bid_sz", "ask_sz")
PRICES = ("bid_px", "ask_px")


def _spread(p: QuoteParameters) -> list[FeatureSpec]:
    n = p.long

    def spec(name: str, inputs: tuple[str, ...], window: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "spread", inputs, window, window - 1, formula, reference)

    broken = "1 if a side is missing or a <= b, else 0"
    return [
        spec("spread_bps", PRICES, 1, "10⁴ (a - b) / m", "quoted spread"),
        spec(f"spread_zscore_{n}", PRICES, n, f"(s - mean_{n} s) / sd_{n} s, s = spread_bps; 0 when sd = 0", "z-score"),
        spec("abnormal_quote", QUOTE_FIELDS, 1, broken, "one-sided, locked or crossed market"),
        spec(f"abnormal_share_{n}", QUOTE_FIELDS, n, f"mean_{n} abnormal_quote", "one-sided, locked or crossed market"),
    ]


def _imbalance(p: QuoteParameters) -> list[FeatureSpec]:
    s = p.short

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "imbalance", inputs, window, warmup, formula, reference)

    gould = "Gould & Bonart 2016"
    standing = "average of I over the time it stood, weights e^(-age/τ), τ = {} ms"
    micro = f"10⁴ (G₆ in ticks · tick) / m; G₆ from {p.imbalance_buckets} buckets of I × {p.spread_ticks} spreads"
    return [
        spec("queue_imbalance", SIZES, 1, 0, "I = (q_b - q_a) / (q_b + q_a); 0 when both are 0", gould),
        *[
            spec(f"queue_imbalance_{decay}ms", SIZES, 1, 0, standing.format(decay), "time-weighted average")
            for decay in (p.fast_ms, p.slow_ms)
        ],
        spec("size_log_ratio", SIZES, 1, 0, "ln(q_b / q_a), within ±10; 0 when both are 0", "log of the size ratio"),
        spec(
            f"size_change_balance_{s}",
            QUOTE_FIELDS,
            s,
            s,
            f"Σ_{s} (Δq_b - Δq_a) / Σ_{s} (|Δq_b| + |Δq_a|), Δq of a side whose price stayed; 0 when none changed",
            "net change of the standing queues",
        ),
        spec("weighted_mid_bps", QUOTE_FIELDS, 1, 0, "10⁴ ½ (a - b) I / m", "volume-weighted mid"),
        spec(
            "microprice_bps",
            QUOTE_FIELDS,
            p.microprice_refit,
            p.microprice_refit - 1,
            f"{micro}, refitted every {p.microprice_refit} quotes on all before",
            "Stoikov 2018",
        ),
    ]


def _flow(p: QuoteParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    cont = "Cont, Kukanov & Stoikov 2014"

    def spec(name: str, window: int, warmup: int, formula: str) -> FeatureSpec:
        return FeatureSpec(name, "order flow", QUOTE_FIELDS, window, warmup, formula, cont)

    return [
        spec("ofi", 1, 1, "e = q_b[b >= b₋] - q_b₋[b <= b₋] - q_a[a <= a₋] + q_a₋[a >= a₋], in units of quantity"),
        *[spec(f"ofi_{k}", k, k, f"Σ_{k} e / mean_{k} D, D = (q_b + q_a) / 2; 0 when D = 0") for k in (s, n)],
        *[spec(f"ofi_{decay}ms", n, n, f"Σ e e^(-age/{decay} ms) / mean_{n} D") for decay in (p.fast_ms, p.slow_ms)],
    ]


def _price(p: QuoteParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, window: int, warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "mid price", PRICES, window, warmup, formula, reference)

    realised = "Andersen & Bollerslev 1998"
    per_second = "10⁴ √(Σ r² e^(-age/τ) / (τ (1 - e^(-T/τ)))) per √s, τ = {} ms, T the age of the stretch"
    flicker = (
        "r of the last {0} quotes that moved the mid, against the move before: Σ r r₋ / √(Σ r² Σ r₋²); 0 when none"
    )
    return [
        *[spec(f"mid_return_{k}", k, k, f"10⁴ ln(m / m[-{k}])", "log return") for k in (s, n)],
        spec(f"mid_volatility_{n}", n, n, f"10⁴ √(Σ_{n} r²)", realised),
        *[
            spec(f"mid_volatility_{decay}ms", n, n, per_second.format(decay), realised)
            for decay in (p.fast_ms, p.slow_ms)
        ],
        spec(f"mid_autocorrelation_{n}", n, n, flicker.format(n), "lag-1 autocorrelation of mid moves (flicker)"),
        spec("last_mid_move", 1, 1, "sign of the last move of the mid; 0 before the first", "tick momentum"),
    ]


def _activity(p: QuoteParameters) -> list[FeatureSpec]:
    n = p.long

    def spec(name: str, window: int, formula: str, inputs: tuple[str, ...] = PRICES) -> FeatureSpec:
        return FeatureSpec(name, "quote activity", inputs, window, window, formula, "event counts")

    rate = "{0} / (τ (1 - e^(-T/τ))) per second, each weighted e^(-age/τ), τ = {1} ms, T the age of the stretch"
    return [
        *[
            spec(f"quote_rate_{decay}ms", n, rate.format("quotes", decay), QUOTE_FIELDS)
            for decay in (p.fast_ms, p.slow_ms)
        ],
        *[
            spec(f"mid_move_rate_{decay}ms", n, rate.format("moves of the mid", decay))
            for decay in (p.fast_ms, p.slow_ms)
        ],
        spec(f"mid_move_count_{n}", n, f"quotes of the last {n} that moved the mid"),
        spec("time_since_move", 1, "ln(1 + ms since the mid last moved, or since the stretch began)"),
    ]


def quote_catalogue(parameters: QuoteParameters) -> tuple[FeatureSpec, ...]:
    """Every level-1 feature for these parameters, in the order of the columns."""
    p = parameters
    return tuple(_spread(p) + _imbalance(p) + _flow(p) + _price(p) + _activity(p))


QUOTES = Kind(
    name="quotes",
    time_field="time_ns",
    fields=QUOTE_FIELDS,
    optional=(),
    parameters=QuoteParameters,
    catalogue=quote_catalogue,
)
