"""The further bar features that read volumes or the clock, as data: pressure, turnover, season, impact, calendar.

See `features.bars.catalogue` for what the signs mean; x = δ / V is the bar's taker imbalance, 0 when V = 0.
"""

from features.bars.fields import BAR_FIELDS, CLOSE, HLC, OHLC, QUOTE, TAKER, VOLUME
from features.config import BarParameters
from features.spec import FeatureSpec

CONTESTED = "Easley, López de Prado & O'Hara 2012, over bars of time; contested by Andersen & Bondarenko 2014"
TAKER_QUOTE = ("quote_volume", "taker_buy_quote_volume")


def pressure(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "pressure", inputs, window, warmup, formula, ref)

    def by_window(w: int) -> list[FeatureSpec]:
        none = f"0 when Σ_{w} V = 0"
        return [
            spec(
                f"taker_imbalance_{w}", TAKER, w, w - 1, f"Σ_{w} δ / Σ_{w} V; {none}", "the exchange's own taker flag"
            ),
            spec(
                f"imbalance_trend_{w}",
                TAKER,
                w,
                w - 1,
                f"corr_{w}(x, time); 0 when x is constant",
                "trend of the taker imbalance",
            ),
            spec(
                f"bulk_imbalance_{w}",
                ("close", "volume"),
                w,
                n + w - 1,
                f"Σ_{w} V (2Φ(r/σ) - 1) / Σ_{w} V; {none}",
                "Easley, López de Prado & O'Hara 2012",
            ),
            spec(f"vpin_{w}", TAKER, w, w - 1, f"Σ_{w} |δ| / Σ_{w} V; {none}", CONTESTED),
            spec(
                f"money_flow_{w}",
                (*HLC, "volume"),
                w,
                w,
                f"MFI / 50 - 1 over {w} bars, price changes within 10⁻¹⁴ not counted; 0 when nothing flowed",
                "Quong & Soudack 1989",
            ),
            spec(
                f"accumulation_{w}",
                (*HLC, "volume"),
                w,
                w - 1,
                f"Σ_{w} V (2C - H - L) / (H - L) / Σ_{w} V; {none}",
                "Chaikin money flow",
            ),
        ]

    both = ("close", *TAKER)
    every = BAR_FIELDS[1:6] + BAR_FIELDS[7:]
    held = "held within the range of the bars; 0 when takers stood on one side only"
    return [
        *by_window(s),
        *by_window(n),
        spec(
            f"imbalance_autocorrelation_{n}",
            TAKER,
            n,
            n,
            f"corr_{n}(x, x[-1]); 0 when either is constant",
            "sample autocorrelation of the taker imbalance",
        ),
        spec(f"imbalance_lead_{n}", both, n, n, f"corr_{n}(r, x[-1]); 0 when either is constant", "flow before return"),
        spec(f"buyers_balance_{n}", TAKER, n, n - 1, f"mean_{n} sign δ", "sign statistic"),
        spec("bulk_imbalance", CLOSE, n, n, "2Φ(r/σ) - 1; 0 when σ = 0", "Easley, López de Prado & O'Hara 2012"),
        spec(
            f"bulk_vpin_{n}",
            ("close", "volume"),
            n,
            2 * n - 1,
            f"Σ_{n} V |2Φ(r/σ) - 1| / Σ_{n} V; 0 when Σ_{n} V = 0",
            CONTESTED,
        ),
        spec(
            f"delta_price_divergence_{n}",
            both,
            n,
            n,
            f"cumulative_delta_{n} - Σ_{n} r / √(Σ_{n} r²)",
            "cumulative volume delta against price, both standardised",
        ),
        spec(
            "taker_price_gap",
            every,
            1,
            n,
            f"ln(buyers' mean price / sellers' mean price) / σ, {held}",
            "taker VWAPs of the two sides",
        ),
        spec(
            f"taker_price_gap_{n}",
            every,
            n,
            n,
            f"ln(buyers' mean price / sellers' mean price over {n} bars) / (σ √{n}), {held}",
            "taker VWAPs of the two sides",
        ),
    ]


def turnover(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(f"{name}_{window}", "turnover", inputs, window, warmup, formula, ref)

    def concentration(w: int) -> FeatureSpec:
        formula = f"({w} Σ_{w} V² / (Σ_{w} V)² - 1) / ({w} - 1); 0 when Σ_{w} V = 0"
        return spec("volume_concentration", VOLUME, w, w - 1, formula, "Herfindahl 1950")

    def ratio(name: str, inputs: tuple[str, ...], what: str) -> FeatureSpec:
        formula = f"balance({what.format(w=s)}, {what.format(w=n)})"
        return spec(f"{name}_ratio_{s}", inputs, n, n - 1, formula, "short against long mean")

    def dependence(name: str, inputs: tuple[str, ...], pair: str, ref: str) -> FeatureSpec:
        return spec(name, inputs, n, n, f"corr_{n}({pair}); 0 when either is constant", ref)

    return [
        ratio("volume", VOLUME, "mean_{w} V"),
        ratio("trade_count", ("trades",), "mean_{w} N"),
        ratio("trade_size", ("volume", "trades"), "Σ_{w} V / Σ_{w} N (0 when no N)"),
        concentration(s),
        concentration(n),
        dependence("volume_autocorrelation", VOLUME, "V, V[-1]", "sample autocorrelation"),
        dependence("volume_volatility", ("close", "volume"), "V, |r|", "Karpoff 1987"),
        dependence("volume_return", ("close", "volume"), "V, r", "Karpoff 1987"),
        spec(
            "trade_count_dispersion",
            ("trades",),
            n,
            n - 1,
            f"balance(var_{n} N, mean_{n} N), var with n - 1: 0 for a Poisson count",
            "Fano 1947",
        ),
        spec(
            "volume_centre",
            VOLUME,
            n,
            n - 1,
            f"mean of time over the {n} bars, from -1 to 1, weighted by V; 0 when Σ_{n} V = 0",
            "centre of mass",
        ),
    ]


def season(p: BarParameters) -> list[FeatureSpec]:
    span = p.day * p.days

    def spec(name: str, inputs: tuple[str, ...], what: str) -> FeatureSpec:
        formula = f"z-score of {what} among itself and those {p.day}, {2 * p.day}, .. {span} bars ago; 0 when all equal"
        ref = "seasonal z-score, sd with n - 1"
        return FeatureSpec(f"seasonal_{name}_zscore_{p.days}", "season", inputs, span, span, formula, ref)

    return [spec("volume", VOLUME, "V"), spec("range", ("high", "low"), "ln(H / L)")]


def impact(p: BarParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, ref: str) -> FeatureSpec:
        return FeatureSpec(name, "impact", inputs, window, warmup, formula, ref)

    def roll(w: int) -> FeatureSpec:
        formula = f"2 √max(0, -cov_{w}(r, r[-1])) / σ, cov with n - 1"
        return spec(f"roll_spread_{w}", CLOSE, w, max(n, w + 1), formula, "Roll 1984")

    constant = "0 when either is constant"
    return [
        roll(s),
        roll(n),
        spec(
            f"edge_{n}",
            OHLC,
            n,
            n,
            f"EDGE spread of the last {n + 1} bars with the sign of its square / σ; 0 when undefined",
            "Ardia, Guidotti & Kroencke 2024",
        ),
        spec(
            f"corwin_schultz_{s}",
            HLC,
            s,
            n,
            f"mean_{s} max(0, 2 (e^α - 1) / (1 + e^α)) / σ over pairs of bars, no overnight adjustment",
            "Corwin & Schultz 2012",
        ),
        spec(
            f"abdi_ranaldo_{s}",
            HLC,
            s,
            n,
            f"√max(0, 4 mean_{s} (p[-1] - η[-1]) (p[-1] - η)) / σ, η = (ln H + ln L) / 2",
            "Abdi & Ranaldo 2017",
        ),
        spec(
            f"vwap_deviation_{s}",
            ("close", "volume", "quote_volume"),
            s,
            n,
            f"ln(C Σ_{s} V / Σ_{s} Q) / (σ √{s}); 0 when a sum is 0",
            "Berkowitz, Logue & Noser 1988",
        ),
        spec(
            f"amihud_asymmetry_{n}",
            QUOTE,
            n,
            n,
            f"Σ_{n} r/Q / Σ_{n} |r|/Q over bars with Q > 0; 0 when no r",
            "Brennan, Huh & Subrahmanyam 2013",
        ),
        spec(
            f"amihud_1_{n}",
            QUOTE,
            n,
            n,
            f"balance(|r|/Q, mean of it over those of the last {n} bars with Q > 0); 0 when Q = 0",
            "Amihud 2002",
        ),
        spec(f"zero_returns_{n}", CLOSE, n, n, f"share of r = 0 among {n}", "Lesmond, Ogden & Trzcinka 1999"),
        spec(
            f"hasbrouck_lambda_{n}",
            ("close", *TAKER_QUOTE),
            n,
            n,
            f"λ sd(x) / sd(r) = corr_{n}(r, x), x = ± √|D|, D = taker buys - sells in quote; {constant}",
            "Hasbrouck 2009",
        ),
        spec(
            f"kyle_lambda_{s}",
            ("close", *TAKER),
            s,
            s,
            f"λ sd(δ) / sd(r), λ = cov_{s}(r, δ) / var_{s}(δ); {constant}",
            "Kyle 1985",
        ),
        spec(
            f"kyle_lambda_change_{s}_{n}",
            ("close", *TAKER),
            n,
            n,
            f"(λ_{s} - λ_{n}) / (|λ_{s}| + |λ_{n}|), λ_w = cov_w(r, δ) / var_w(δ); a λ is 0 when r or δ is constant",
            "Kyle 1985",
        ),
        spec(
            f"pastor_stambaugh_{n}",
            QUOTE,
            n,
            n + 1,
            f"γ sd(y) / sd(r) of r = θ + φ r[-1] + γ y over {n} bars, y = sign(r[-1]) Q[-1]; 0 when not determined",
            "Pástor & Stambaugh 2003",
        ),
    ]


def calendar() -> list[FeatureSpec]:
    phases = {
        "time_of_week": "UTC time of the close since Monday / 1 week",
        "quarter_hour": "time of the close within the quarter of an hour / 15 minutes",
        "funding": "time of the close since 0, 8 or 16 h UTC / 8 hours",
    }
    return [
        FeatureSpec(f"{name}_{wave}", "calendar", ("open_time_ms",), 1, 0, f"{wave}(2π · {phase})", "clock")
        for name, phase in phases.items()
        for wave in ("sin", "cos")
    ]


def flow_specs(p: BarParameters) -> list[FeatureSpec]:
    """All of them, in the order of the columns."""
    return pressure(p) + turnover(p) + season(p) + impact(p) + calendar()
