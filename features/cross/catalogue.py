"""The cross-market features as data: a market's bars beside those of a leader, BTC for most.

The order of `cross_catalogue` is the order in which the compiled step (`features.cross.kernel`) writes a row. r and l
are the one-bar log returns of the market and of the leader, C, V, δ = 2 · taker buys - V those of the market, C_l, V_l,
δ_l of the leader; x[-1] is x one bar earlier; σ and σ_l are the root mean squared returns of the long window; Σ_n,
mean_n, corr_n, cov_n and var_n reach over the last n bars, this one included; balance(a, b) = (a - b) / (a + b), 0 when
both are 0. Both bars close at the same time, so that the leader's return of the same bar is known; the two series must
come from clocks that agree, or the lead is the clocks'.
"""

from features.config import CrossParameters
from features.spec import FeatureSpec, Kind

CROSS_FIELDS: tuple[str, ...] = (
    "close",
    "volume",
    "taker_buy_volume",
    "leader_close",
    "leader_volume",
    "leader_taker_buy_volume",
)
OPTIONAL_FIELDS: tuple[str, ...] = ("taker_buy_volume", "leader_taker_buy_volume")
"""Fields that a source may lack (NaN)."""

CLOSES = ("close", "leader_close")
LEADER_TAKER = ("leader_volume", "leader_taker_buy_volume")
TAKER = ("volume", "taker_buy_volume")


def _lead(p: CrossParameters) -> list[FeatureSpec]:
    n, name = p.long, p.leader
    return [
        *[
            FeatureSpec(
                f"{name}_return_{k}",
                "leader returns",
                ("leader_close",),
                k,
                max(k, n),
                f"ln(C_l / C_l[-{k}]) / (σ_l √{k})",
                "log return of the leader over its volatility",
            )
            for k in p.horizons
        ],
        *[
            FeatureSpec(
                f"{name}_residual_{k}",
                "residual returns",
                CLOSES,
                max(k, n),
                max(k, n),
                f"(ln(C / C[-{k}]) - β ln(C_l / C_l[-{k}])) / (σ √{k}), β = cov_{n}(r, l) / var_{n}(l)",
                "market model, Sharpe 1963",
            )
            for k in p.horizons
        ],
    ]


def _dependence(p: CrossParameters) -> list[FeatureSpec]:
    s, n, name = p.short, p.long, p.leader

    def spec(what: str, window: int, warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(f"{name}_{what}_{window}", "co-movement", CLOSES, window, warmup, formula, reference)

    lead = "Lo & MacKinlay 1990; de Jong & Nijman 1997"
    return [
        *[
            spec("correlation", k, k, f"corr_{k}(r, l); 0 when either is constant", "sample correlation")
            for k in (s, n)
        ],
        spec("beta", n, n, f"β = cov_{n}(r, l) / var_{n}(l); 0 when l is constant", "market model, Sharpe 1963"),
        spec("lead", n, n + 1, f"corr_{n}(r, l[-1]): whether the leader's last bar shows in this one", lead),
        spec("lead_lag", n, n + 1, f"corr_{n}(r, l[-1]) - corr_{n}(l, r[-1]): above 0 the leader leads", lead),
    ]


def _flow(p: CrossParameters) -> list[FeatureSpec]:
    s, n, name = p.short, p.long, p.leader
    flag = "the exchange's own taker flag"
    return [
        FeatureSpec(f"{name}_taker_imbalance", "leader flow", LEADER_TAKER, 1, 0, "δ_l / V_l; 0 when V_l = 0", flag),
        FeatureSpec(
            f"{name}_taker_imbalance_{s}",
            "leader flow",
            LEADER_TAKER,
            s,
            s - 1,
            f"Σ_{s} δ_l / Σ_{s} V_l; 0 when nothing traded",
            flag,
        ),
        FeatureSpec(
            f"{name}_taker_gap_{s}",
            "leader flow",
            (*TAKER, *LEADER_TAKER),
            s,
            s - 1,
            f"Σ_{s} δ / Σ_{s} V - Σ_{s} δ_l / Σ_{s} V_l; a quotient is 0 when nothing traded",
            flag,
        ),
        FeatureSpec(
            f"{name}_flow_impact_{n}",
            "leader flow",
            ("close", *LEADER_TAKER),
            n,
            n,
            f"corr_{n}(r, δ_l): cross impact in units of one sd of r per sd of δ_l; 0 when either is constant",
            "Benzaquen, Mastromatteo, Eisler & Bouchaud 2017",
        ),
    ]


def _relation(p: CrossParameters) -> list[FeatureSpec]:
    n, name = p.long, p.leader
    return [
        FeatureSpec(
            f"{name}_relative_volume_{n}",
            "relation",
            ("volume", "leader_volume"),
            n,
            n - 1,
            f"balance(V / Σ_{n} V, V_l / Σ_{n} V_l); a quotient is 0 when nothing traded",
            "abnormal volume, market adjusted",
        ),
        FeatureSpec(
            f"{name}_volatility_ratio_{n}", "relation", CLOSES, n, n, "balance(σ², σ_l²)", "relative realised variance"
        ),
        FeatureSpec(
            f"{name}_ratio_zscore_{n}",
            "relation",
            CLOSES,
            n,
            n - 1,
            f"(x - mean_{n} x) / sd_{n} x, x = ln(C / C_l), sd with n - 1; 0 when sd = 0",
            "pairs trading, Gatev, Goetzmann & Rouwenhorst 2006",
        ),
    ]


def cross_catalogue(parameters: CrossParameters) -> tuple[FeatureSpec, ...]:
    """Every cross-market feature for these windows, in the order of the columns."""
    p = parameters
    return tuple(_lead(p) + _dependence(p) + _flow(p) + _relation(p))


CROSS = Kind(
    name="cross",
    time_field="open_time_ms",
    fields=CROSS_FIELDS,
    optional=OPTIONAL_FIELDS,
    parameters=CrossParameters,
    catalogue=cross_catalogue,
)
