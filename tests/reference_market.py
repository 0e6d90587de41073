"""A slow simulator in exact decimals, written from docs/fills.md alone: what the compiled kernel is compared with."""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, getcontext

from data_pipeline.instruments import Instrument
from envs.config import MarketConfig

getcontext().prec = 40
BPS = Decimal("0.0001")
SNAP = Decimal("0.000001")
FOREVER = Decimal("Infinity")


def exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


@dataclass
class Position:
    side: int
    qty: Decimal
    entry_bar: int
    mid: Decimal
    price: Decimal
    fee: Decimal
    take_profit: Decimal | None
    stop_loss: Decimal | None
    ttl: Decimal


@dataclass
class Account:
    instrument: Instrument
    config: MarketConfig
    cash: Decimal
    position: Position | None = None
    trades: list[dict] = field(default_factory=list)
    ambiguous: int = 0
    refused: int = 0
    ruined: bool = False

    def __post_init__(self) -> None:
        self.initial = self.cash
        self.maker = exact(self.instrument.maker_fee_bps) * BPS
        self.taker = exact(self.instrument.taker_fee_bps) * BPS
        self.half_spread = exact(self.config.half_spread_bps) * BPS
        self.tick, self.lot = exact(self.instrument.tick_size), exact(self.instrument.lot_step)

    def up(self, price: Decimal) -> Decimal:
        return (price / self.tick - SNAP).to_integral_value(ROUND_CEILING) * self.tick

    def down(self, price: Decimal) -> Decimal:
        return (price / self.tick + SNAP).to_integral_value(ROUND_FLOOR) * self.tick

    def enter(self, bar: int, opening: Decimal, order: list[float]) -> None:
        target, tp_bps, sl_bps, ttl, _ = order
        side = 1 if target > 0 else -1
        price = opening * (1 + side * self.half_spread)
        leverage = exact(self.config.leverage)
        affordable = exact(abs(target)) * self.cash / (1 / leverage + self.taker) / price
        qty = (affordable / self.lot + SNAP).to_integral_value(ROUND_FLOOR) * self.lot
        if qty <= 0 or qty * price < exact(self.instrument.min_notional):
            self.refused += 1
            return
        take_profit = stop_loss = None
        if tp_bps != float("inf"):
            level = price * (1 + side * exact(tp_bps) * BPS)
            take_profit = self.up(level) if side > 0 else self.down(level)
        if sl_bps != float("inf"):
            level = price * (1 - side * exact(sl_bps) * BPS)
            stop_loss = self.down(level) if side > 0 else self.up(level)
        lifetime = FOREVER if ttl == float("inf") else exact(ttl)
        fee = qty * price * self.taker
        self.cash -= side * qty * price + fee
        self.position = Position(side, qty, bar, opening, price, fee, take_profit, stop_loss, lifetime)

    def leave(self, bar: int, mid: Decimal, reason: str, *, at_open: bool) -> None:
        held = self.position
        assert held is not None
        if reason == "take_profit":
            price, rate = mid, self.maker
        else:
            price, rate = mid * (1 - held.side * self.half_spread), self.taker
        fee = held.qty * price * rate
        self.cash += held.side * held.qty * price - fee
        spread = held.qty * (abs(held.price - held.mid) + abs(price - mid))
        self.trades.append(
            {
                "side": held.side,
                "qty": held.qty,
                "entry_bar": held.entry_bar,
                "entry_price": held.price,
                "exit_bar": bar,
                "exit_price": price,
                "exit_reason": reason,
                "fees": held.fee + fee,
                "spread_cost": spread,
                "net_pnl": held.side * held.qty * (price - held.price) - held.fee - fee,
                "bars_held": bar - held.entry_bar + (0 if at_open else 1),
            }
        )
        self.position = None

    def beyond_stop(self, price: Decimal) -> bool:
        held = self.position
        return held is not None and held.stop_loss is not None and held.side * (price - held.stop_loss) <= 0

    def through_target(self, price: Decimal) -> bool:
        held = self.position
        return held is not None and held.take_profit is not None and held.side * (price - held.take_profit) > 0

    def step(self, bar: int, prices: list[Decimal], order: list[float], tradable: bool) -> Decimal:
        opening, high, low, close = prices
        wanted = order[0] if tradable and not self.ruined else 0.0
        if wanted < 0 and self.instrument.contract == "spot":
            wanted = 0.0
        used_up = False
        if self.position is not None:
            direction = (wanted > 0) - (wanted < 0)
            if self.beyond_stop(opening):
                self.leave(bar, opening, "stop_loss", at_open=True)
                used_up = True
            elif self.through_target(opening):
                self.leave(bar, self.position.take_profit, "take_profit", at_open=True)
                used_up = True
            elif direction != self.position.side:
                self.leave(bar, opening, "signal" if tradable else "forced", at_open=True)
            elif bar - self.position.entry_bar >= self.position.ttl:
                self.leave(bar, opening, "time_out", at_open=True)
                used_up = True
        if wanted != 0 and self.position is None and not used_up:
            self.enter(bar, opening, order)
        if self.position is not None:
            worst, best = (low, high) if self.position.side > 0 else (high, low)
            if self.beyond_stop(worst):
                self.ambiguous += self.through_target(best)
                mid = opening if self.beyond_stop(opening) else self.position.stop_loss
                self.leave(bar, mid, "stop_loss", at_open=False)
            elif self.through_target(best):
                self.leave(bar, self.position.take_profit, "take_profit", at_open=False)
        equity = self.worth(close)
        if not self.ruined and equity <= exact(self.config.stop_out_fraction) * self.initial:
            if self.position is not None:
                self.leave(bar, close, "ruin", at_open=False)
            self.ruined = True
            equity = self.cash
        return equity

    def worth(self, close: Decimal) -> Decimal:
        held = self.position
        return self.cash + (held.side * held.qty * close if held is not None else 0)


def simulate(
    bars: list[list[float]],
    tradable: list[bool],
    orders: list[list[float]],
    instrument: Instrument,
    config: MarketConfig,
    capital: float,
) -> tuple[Account, list[Decimal]]:
    """Trade one account over all bars; equity at each close, the last after closing what was open."""
    account = Account(instrument, config, exact(capital))
    rows = [[exact(price) for price in bar] for bar in bars]
    equity = [account.cash]
    for bar in range(1, len(rows)):
        equity.append(account.step(bar, rows[bar], orders[bar - 1], tradable[bar - 1]))
    if account.position is not None:
        account.leave(len(rows) - 1, rows[-1][3], "end", at_open=False)
        equity[-1] = account.cash
    return account, equity
