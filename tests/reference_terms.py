"""What the slow simulator of `tests.reference_market` is made of: prices, orders and steps in exact decimals."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, getcontext

from envs.config import MarketConfig
from envs.market import Market
from tests.reference_breakers import exact

getcontext().prec = 40
BPS = Decimal("0.0001")
SNAP = Decimal("0.000001")
NOWHERE = Decimal("Infinity")


@dataclass(frozen=True)
class Bar:
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass
class Resting:
    target: Decimal
    level: Decimal
    order: list[float]
    bars_left: int


@dataclass
class Position:
    side: int
    size: Decimal
    entry_bar: int
    mid: Decimal
    price: Decimal
    fee: Decimal  # this and the next three per unit
    spread: Decimal
    impact: Decimal
    target: Decimal
    stop: Decimal
    ttl: Decimal
    best: Decimal
    funding: Decimal = Decimal(0)
    leaving: str = ""


class Terms:
    """Fees, steps and units of one market under one config."""

    def __init__(self, market: Market, config: MarketConfig) -> None:
        instrument = market.instrument
        maker, taker = config.fees_bps or (instrument.maker_fee_bps, instrument.taker_fee_bps)
        self.maker, self.taker = exact(maker) * BPS, exact(taker) * BPS
        self.penalty = exact(instrument.liquidation_fee_bps) * BPS
        self.margin = exact(instrument.maintenance_margin)
        self.tick, self.lot = exact(instrument.tick_size), exact(instrument.lot_step)
        self.inverse = instrument.contract == "inverse"
        self.lateness = (exact(config.latency_ms) / market.interval_ms).sqrt()

    def worth(self, price: Decimal) -> Decimal:
        return -1 / price if self.inverse else price

    def notional(self, price: Decimal) -> Decimal:
        return 1 / price if self.inverse else price

    def tick_down(self, price: Decimal) -> Decimal:
        return (price / self.tick + SNAP).to_integral_value(ROUND_FLOOR) * self.tick

    def tick_up(self, price: Decimal) -> Decimal:
        return (price / self.tick - SNAP).to_integral_value(ROUND_CEILING) * self.tick

    def behind(self, price: Decimal, side: int) -> Decimal:
        """On the tick, away from the market for a buy (`side` 1) or sell that rests."""
        return self.tick_down(price) if side > 0 else self.tick_up(price)

    def lots(self, size: Decimal) -> Decimal:
        return (size / self.lot + SNAP).to_integral_value(ROUND_FLOOR) * self.lot if size < NOWHERE else size

    def late(self, opening: Decimal, adverse: Decimal) -> Decimal:
        return opening + min(self.lateness, Decimal(1)) * (adverse - opening)
