"""The features of trades against quotes as data, in the order in which `features.tape.kernel` writes a row."""

from features.config import TapeParameters
from features.spec import FeatureSpec, Kind

TAPE_FIELDS: tuple[str, ...] = ("bid_px", "ask_px", "price", "qty", "buyer_is_maker")
"""A quote fills the first two, a trade the other three; what a row does not fill is NaN (`features.tape.merge`)."""


def tape_catalogue(parameters: TapeParameters) -> tuple[FeatureSpec, ...]:
    """Every feature for these parameters, in the order of the columns."""
    n, ms = parameters.span, parameters.delay_ms
    averaged = f"mean over trades, weights quantity × (1 - 2 / {n + 1})^(trades since); 0 before the first"
    later = f"m₊ the mid {ms} ms after the trade: a trade enters when that time has passed"

    def spec(name: str, window: int, formula: str, reference: str) -> FeatureSpec:
        return FeatureSpec(name, "cost", TAPE_FIELDS, window, 0, formula, reference)

    huang = "Huang & Stoll 1996"
    return (
        spec("effective_spread", 1, "10⁴ 2ε (p - m) / m of the last trade, m the mid before it; 0 before one", huang),
        spec(f"effective_spread_{n}", n, f"effective_spread, {averaged}", huang),
        spec(f"realised_spread_{ms}ms_{n}", n, f"10⁴ 2ε (p - m₊) / m, {later}, {averaged}", huang),
        spec(f"price_impact_{ms}ms_{n}", n, f"10⁴ 2ε (m₊ - m) / m, {later}, {averaged}", huang),
    )


TAPE = Kind(
    name="tape",
    time_field="time_ns",
    fields=TAPE_FIELDS,
    optional=(),
    parameters=TapeParameters,
    catalogue=tape_catalogue,
)
