"""The level-2 features as data, in the order in which the compiled step (`features.book.kernel`) writes a row."""

from features.config import BookParameters
from features.spec import FeatureSpec, Kind

LEVELS = 10
"""Levels a side."""
BOOK_FIELDS: tuple[str, ...] = tuple(
    f"{side}{level}_{what}" for side in ("bid", "ask") for level in range(1, LEVELS + 1) for what in ("px", "sz")
)
"""Bids best first, then asks, each level its price and quantity; named and ordered as in recordings."""
TOUCH = ("bid1_px", "bid1_sz", "ask1_px", "ask1_sz")
FLOW_LEVELS = 5
"""Levels that have an order flow feature of their own."""
DEPTHS = (3, 5, LEVELS)
"""Levels counted into each depth imbalance."""
COMPONENT_BUCKETS = 10
"""Buckets of order flow before the main component counts as known."""


def level_fields(side: str, levels: int = LEVELS) -> tuple[str, ...]:
    """Prices and quantities of the best levels of one side."""
    return tuple(f"{side}{level}_{what}" for level in range(1, levels + 1) for what in ("px", "sz"))


def _touch(p: BookParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long

    def spec(name: str, window: int, warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "touch", TOUCH, window, warmup, formula, reference)

    return [
        spec("book_spread_bps", 1, 0, "10⁴ (a₁ - b₁) / m", "quoted spread"),
        spec("book_imbalance", 1, 0, "balance(q_b1, q_a1)", "Gould & Bonart 2016"),
        spec(f"book_mid_return_{s}", s, s, f"10⁴ ln(m / m[-{s}])", "log return"),
        spec(f"book_mid_volatility_{n}", n, n, f"10⁴ √(Σ_{n} r²)", "Andersen & Bollerslev 1998"),
    ]


def _depth(p: BookParameters) -> list[FeatureSpec]:
    n = p.long

    def spec(name: str, inputs: tuple[str, ...], window: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "depth", inputs, window, window - 1, formula, reference)

    near = "quantity within {:g} bps of m"
    close = "depth near the mid"
    shares = "entropy of each level's share of the side's quantity over ln 10; 0 when a side is empty"
    wall = "distance of the side's largest level from m in bps, the nearest if several; 0 when a side is empty"
    return [
        *[
            spec(
                f"depth_imbalance_{k}",
                level_fields("bid", k) + level_fields("ask", k),
                1,
                f"balance of the quantity of the {k} best levels",
                "Cao, Hansch & Wang 2009",
            )
            for k in DEPTHS
        ],
        *[
            spec(f"near_imbalance_{bps:g}bps", BOOK_FIELDS, 1, f"balance of the {near.format(bps)}", close)
            for bps in p.near_bps
        ],
        *[
            spec(f"near_depth_{bps:g}bps", BOOK_FIELDS, n, f"balance(N, mean_{n} N), N = {near.format(bps)}", close)
            for bps in p.near_bps
        ],
        *[spec(f"depth_entropy_{side}", level_fields(side), 1, shares, "Shannon 1948") for side in ("bid", "ask")],
        *[spec(f"wall_distance_{side}", BOOK_FIELDS, 1, wall, "largest resting quantity") for side in ("bid", "ask")],
    ]


def _shape(p: BookParameters) -> list[FeatureSpec]:
    def spec(name: str, formula: str, reference: str, inputs: tuple[str, ...] = BOOK_FIELDS) -> FeatureSpec:
        return FeatureSpec(name, "shape", inputs, 1, 0, formula, reference)

    size = f"{p.sweep_notional:.15g}"
    slope = (
        "least-squares slope of Y_k on x_k, Y_k the side's share in its k best levels, x_k their distance from m in bps"
    )
    convexity = (
        "2 ∫(Y - chord) over the unit square from (x_1, Y_1) to (x_K, 1), in [-1, 1]; above 0: thick near the mid"
    )
    cost = f"10⁴ |vwap - m| / m of {size} (price × quantity) taken from the levels, what they lack at the worst of them"
    return [
        *[spec(f"book_slope_{side}", slope, "after Næs & Skjeltorp 2006") for side in ("bid", "ask")],
        *[spec(f"book_convexity_{side}", convexity, "area under the cumulated book") for side in ("bid", "ask")],
        spec(f"sweep_buy_{size}", cost, "cost of a round trip, Irvine, Benston & Kandel 2000"),
        spec(f"sweep_sell_{size}", cost, "cost of a round trip, Irvine, Benston & Kandel 2000"),
        spec(f"sweep_asymmetry_{size}", f"sweep_buy_{size} - sweep_sell_{size}", "difference of the two costs"),
    ]


def _flow(p: BookParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    known = n + COMPONENT_BUCKETS * s
    scale = f"Q = mean_{n} of the mean quantity of a level"
    weights = f"first principal component of F over buckets of {s} updates, half-life {p.component_half_life} buckets"

    def spec(name: str, inputs: tuple[str, ...], warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "order flow", inputs, s, warmup, formula, reference)

    return [
        *[
            spec(
                f"mlofi_{k}_{s}",
                BOOK_FIELDS,
                n,
                f"F_{k} = Σ_{s} e_{k} / Q, e_{k} the order flow at level {k}, {scale}",
                source,
            )
            for k, source in [(k, "Xu, Gould & Howison 2019") for k in range(1, FLOW_LEVELS + 1)]
        ],
        spec(f"mlofi_sum_{s}", BOOK_FIELDS, n, "Σ_k F_k over all levels", "Xu, Gould & Howison 2019"),
        spec(
            f"integrated_ofi_{s}",
            BOOK_FIELDS,
            known,
            f"wᵀF / Σ|w|, w the {weights}, of those before and the one that ends here; Σ w >= 0",
            "Cont, Cucuringu & Zhang 2021",
        ),
    ]


def _queues(p: BookParameters) -> list[FeatureSpec]:
    s, n = p.short, p.long
    added = "quantity added at prices visible before and after"
    removed = "quantity removed (cancelled or traded) there"
    resilience = (
        f"half-life, in updates, of a best queue below its mean: -ln 2 / ln φ, v = φ u by least squares over the {n} "
        f"updates whose u < 0, u and v the queue's distance from mean_{n} before and after; 0 if φ <= 0, at most {n}"
    )

    def spec(name: str, inputs: tuple[str, ...], window: int, warmup: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "queues", inputs, window, warmup, formula, reference)

    source = "changes of the visible levels"
    return [
        spec(f"add_balance_{s}", BOOK_FIELDS, s, s, f"balance(bids, asks) of Σ_{s} {added}", source),
        spec(f"removal_balance_{s}", BOOK_FIELDS, s, s, f"balance(bids, asks) of Σ_{s} {removed}", source),
        *[
            spec(
                f"net_add_{side}_{s}",
                level_fields(side),
                s,
                s,
                f"balance(A, R), A = Σ_{s} {added}, R {removed}",
                source,
            )
            for side in ("bid", "ask")
        ],
        *[
            spec(f"resilience_{side}_{n}", TOUCH, n, 2 * n, resilience, "Kempf, Mayston & Yadav 2009")
            for side in ("bid", "ask")
        ],
    ]


def book_catalogue(parameters: BookParameters) -> tuple[FeatureSpec, ...]:
    """Every level-2 feature for these parameters, in the order of the columns."""
    p = parameters
    return tuple(_touch(p) + _depth(p) + _shape(p) + _flow(p) + _queues(p))


BOOK = Kind(
    name="book",
    time_field="time_ns",
    fields=BOOK_FIELDS,
    optional=(),
    parameters=BookParameters,
    catalogue=book_catalogue,
)
