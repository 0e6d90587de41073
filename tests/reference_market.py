"""A slow simulator in exact decimals, written from docs/fills.md alone: what the compiled kernel is compared with."""

import math
from dataclasses import dataclass, field
from decimal import Decimal

from envs.config import MarketConfig
from envs.market import Market
from tests.reference_breakers import ACTIVE, REDUCING, Breakers, exact
from tests.reference_terms import BPS, NOWHERE, Bar, Position, Resting, Terms


@dataclass
class Account(Terms):
    market: Market
    config: MarketConfig
    cash: Decimal
    position: Position | None = None
    resting: Resting | None = None
    trades: list[dict] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("ambiguous", "resolved", "refused", "expired", "partial", "liquidated"), 0
        )
    )
    met: set[str] = field(default_factory=set)
    """Names of rules that came into play."""
    ruined: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.market, self.config)
        self.initial = self.equity = self.cash
        self.breakers = Breakers(self.config.risk, self.cash)
        self.rows = [Bar(*map(exact, row)) for row in self.market.prices[:, :4].tolist()]
        self.tradable = self.market.tradable.tolist()
        self.finer = [Bar(*map(exact, row)) for row in self.market.finer.tolist()]
        self.first_finer = [*self.market.calendar[:, 2].astype(int).tolist(), len(self.finer)]

    def fill_price(self, mid: Decimal, direction: int, size: Decimal) -> tuple[Decimal, Decimal]:
        """(with the half-spread alone, with impact too) of a market order."""
        impact = exact(self.config.impact) * self.coefficient * size.sqrt()
        return mid * (1 + direction * self.half_spread), mid * (1 + direction * (self.half_spread + impact))

    def affordable(self, target: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        budget = abs(target) * self.cash / (1 / exact(self.config.leverage) + max(fee, Decimal(0)))
        allowed = exact(self.config.risk.exposure) * self.cash
        if allowed < budget:
            self.met.add("exposure")
            budget = allowed
        return max(self.lots(budget / self.notional(price)), Decimal(0))

    def take(self, wanted: Decimal) -> Decimal:
        """As much of an order's size as the account's share of the bar's volume still allows, in lots."""
        size = wanted if wanted <= self.room else self.lots(self.room)
        if size < wanted:
            self.met.add("participation")
            self.counts["partial"] += size > 0
        return size

    def enter(self, bar: int, side: int, target: Decimal, order: list[float], arrival: Decimal) -> None:
        """By market order, which meets the price `arrival`."""
        before, _ = self.fill_price(arrival, side, Decimal(0))
        free = self.affordable(target, before, self.taker)
        _, worst = self.fill_price(arrival, side, min(free, self.lots(self.room)))
        wanted = self.affordable(target, worst, self.taker)
        _, price = self.fill_price(arrival, side, min(wanted, self.lots(self.room)))
        spread = side * (self.worth(before) - self.worth(arrival))
        self.book(bar, side, wanted, self.rows[bar].open, price, self.taker, spread, order)

    def book(
        self,
        bar: int,
        side: int,
        wanted: Decimal,
        mid: Decimal,
        price: Decimal,
        rate: Decimal,
        spread: Decimal,
        order: list[float],
    ) -> None:
        """Fill what can be filled of an entry of `wanted` units at `price`, and set its bracket."""
        size = min(wanted, self.lots(self.room))
        if size <= 0 or size * self.notional(price) < exact(self.market.instrument.min_notional):
            self.met.add("under the min notional" if size > 0 else "under a lot")
            self.counts["refused"] += 1
            return
        self.take(wanted)
        self.room -= size
        _, tp_bps, sl_bps, ttl, _ = order
        up, down = (self.tick_up, self.tick_down) if side > 0 else (self.tick_down, self.tick_up)
        fee = self.notional(price) * rate
        self.cash -= size * (side * self.worth(price) + fee)
        self.position = Position(
            side,
            size,
            bar,
            mid,
            price,
            fee,
            spread,
            side * (self.worth(price) - self.worth(mid)) - spread,
            side * NOWHERE if math.isinf(tp_bps) else up(price * (1 + side * exact(tp_bps) * BPS)),
            -side * NOWHERE if math.isinf(sl_bps) else down(price * (1 - side * exact(sl_bps) * BPS)),
            exact(ttl),
            best=price,
        )
        self.breakers.entries += 1

    def leave(self, bar: int, reason: str, mid: Decimal, *, arrival: Decimal | None = None, at_open: bool) -> bool:
        """Close what can be closed at `mid`, or where the order arrives; whether anything was."""
        held = self.position
        assert held is not None
        arrival = mid if arrival is None else arrival
        if reason in ("liquidation", "ruin", "end"):
            size = held.size
            self.counts["liquidated"] += reason == "liquidation"
        else:
            size = self.take(held.size)
            self.room -= size
        if size < held.size and reason != "take_profit":
            held.leaving = reason
        if size <= 0:
            return False
        price, fee, spread = mid, self.maker, Decimal(0)
        if reason != "take_profit":
            before, price = self.fill_price(arrival, -held.side, size)
            fee = self.taker + (self.penalty if reason == "liquidation" else 0)
            spread = held.side * (self.worth(arrival) - self.worth(before))
        impact = held.side * (self.worth(mid) - self.worth(price)) - spread
        fee *= self.notional(price)
        self.cash += size * (held.side * self.worth(price) - fee)
        gross = held.side * (self.worth(mid) - self.worth(held.mid))
        trade = {
            "gross_pnl": size * gross,
            "fees": size * (held.fee + fee),
            "spread_cost": size * (held.spread + spread),
            "impact_cost": size * (held.impact + impact),
            "funding": size * held.funding,
        }
        trade["net_pnl"] = 2 * trade["gross_pnl"] - sum(trade.values())
        self.breakers.losses = 0 if trade["net_pnl"] > 0 else self.breakers.losses + 1
        trade |= {
            "side": held.side,
            "qty": size,
            "entry_bar": held.entry_bar,
            "entry_price": held.price,
            "exit_bar": bar,
            "exit_price": price,
            "exit_reason": reason,
            "bars_held": bar - held.entry_bar + (0 if at_open else 1),
        }
        self.trades.append(trade)
        self.met.add(reason)
        held.size -= size
        if held.size == 0:
            self.position = None
        return True

    def liquidation(self) -> Decimal:
        """Price at which equity is down to the margin; beyond any price where that cannot happen."""
        held = self.position
        assert held is not None
        quantity = held.side * held.size
        if self.margin > 0:
            if self.inverse:  # cash - quantity / price = margin × size / price
                price = (quantity + self.margin * held.size) / self.cash
            else:
                price = -self.cash / (quantity - self.margin * held.size)
            if price > 0:
                return price
        return -held.side * NOWHERE

    def adverse_level(self) -> Decimal:
        """The first of stop and liquidation that a move against the position meets."""
        held = self.position
        assert held is not None
        return max(held.stop, self.liquidation()) if held.side > 0 else min(held.stop, self.liquidation())

    def stop_reason(self, mid: Decimal) -> str:
        held = self.position
        assert held is not None
        return "liquidation" if held.side * (mid - self.liquidation()) <= 0 else "stop_loss"

    def touch(self, opening: Decimal, bar: Bar, target: Decimal, stop: Decimal) -> tuple[str, Decimal, bool] | None:
        """What a bar does to the bracket: ("stop" or "take_profit", price, whether it met both)."""
        held = self.position
        assert held is not None
        worst, best = (bar.low, bar.high) if held.side > 0 else (bar.high, bar.low)
        through = held.side * (best - target) > 0
        if held.side * (worst - stop) <= 0:
            return "stop", opening if held.side * (opening - stop) <= 0 else stop, through
        return ("take_profit", target, False) if through else None

    def inside(self, bar: int, opening: Decimal, after: int = -1) -> None:
        """The bracket meets the bar from `opening` on: all of it, or from its finer bar `after` on."""
        held = self.position
        assert held is not None
        target, stop = held.target, self.adverse_level()
        if held.leaving:
            target, stop = held.side * NOWHERE, self.liquidation()
        whole = self.touch(opening, self.rows[bar], target, stop)
        if whole is None:
            return
        found, unclear = whole, whole[2]
        finer = self.finer[self.first_finer[bar] : self.first_finer[bar + 1]]
        if after >= 0:
            found = self.touch(opening, self.since(opening, finer[after]), held.side * NOWHERE, stop)
            unclear = False
        start = after + 1
        if (whole[0] == "stop" and after < 0) or (after >= 0 and found is None):
            for place, piece in enumerate(finer[start:]):
                first = opening if place == 0 and after < 0 else piece.open
                told = self.touch(first, piece, target, stop)
                if told is not None:
                    found, unclear = told, told[2]
                    break
        if found is None:
            return
        kind, mid, _ = found
        if kind == "stop" and mid != stop and mid != self.rows[bar].open:
            self.met.add("finer gap")
        if unclear and self.config.both_touched == "target_first":
            kind, mid = "take_profit", target
        reason = self.stop_reason(mid) if kind == "stop" else kind
        if self.leave(bar, reason, mid, at_open=False) and whole[2]:
            self.counts["ambiguous" if unclear else "resolved"] += 1

    def since(self, level: Decimal, bar: Bar) -> Bar:
        """What of a bar that filled a limit entry is known to have come after it."""
        held = self.position
        assert held is not None
        if held.side > 0:
            return Bar(level, level, bar.low, bar.close)
        return Bar(level, bar.high, level, bar.close)

    def step(self, bar: int, order: list[float]) -> Decimal:
        now, row = self.rows[bar], bar - 1
        _, _, _, _, volume, half_spread, _, _ = self.market.prices[bar].tolist()
        self.half_spread = exact(self.config.half_spread_bps) * BPS if math.isnan(half_spread) else exact(half_spread)
        self.coefficient = exact(self.market.prices[row, 6])
        capped = math.isfinite(self.config.max_participation) and not math.isnan(volume)
        self.room = exact(self.config.max_participation) * exact(volume) if capped else NOWHERE
        self.breakers.begin(bar, int(self.market.calendar[bar, 1]), self.equity)
        allowed = self.tradable[row] and not self.ruined
        asked, wanted = self.wanted(order[0], allowed)
        used_up = self.at_open(bar, now, asked, wanted, allowed) if self.position else False
        began, rested = now.open, False
        if self.position is None:
            wanted = Decimal(0) if used_up else wanted
            if order[4] < math.inf or (math.isnan(order[0]) and self.resting):
                rested = self.rest(bar, now, wanted, order)
            else:
                self.met |= {"limit replaced"} if self.resting and wanted else set()
                self.resting = None
                if wanted:
                    began = self.enter_now(bar, now, wanted, order)
        if self.position is not None and not rested:
            self.inside(bar, began)
        return self.at_close(bar, now, rested)

    def wanted(self, asked: float, allowed: bool) -> tuple[Decimal, Decimal]:
        """The wanted position as the order has it, and as the breakers let it through."""
        held = self.position
        if math.isnan(asked):
            target = self.resting.target if self.resting else Decimal(held.side if held else 0)
            self.met |= {"nan"} if target else set()
        else:
            target = exact(asked)
        if not allowed or (target < 0 and self.market.instrument.contract == "spot"):
            target = Decimal(0)
        state = self.breakers.state
        keeps = held is not None and target * held.side > 0
        if state != ACTIVE and target:
            self.met.add(f"{state} by {self.breakers.cause}")
        return target, target if state == ACTIVE or (state == REDUCING and keeps) else Decimal(0)

    def at_open(self, bar: int, now: Bar, asked: Decimal, wanted: Decimal, allowed: bool) -> bool:
        """Funding, the bracket and market exits; whether that used the bar up."""
        held = self.position
        assert held is not None
        rate = exact(self.market.calendar[bar, 0])
        if rate:
            self.met.add("funding")
            due = held.side * self.notional(now.open) * rate
            held.funding += due
            self.cash -= held.size * due
        hit = self.touch(now.open, Bar(*[now.open] * 4), held.target, self.adverse_level())
        if hit is not None:
            self.leave(bar, self.stop_reason(hit[1]) if hit[0] == "stop" else hit[0], hit[1], at_open=True)
            return True
        arrival = self.late(now.open, now.low if held.side > 0 else now.high)
        reason = held.leaving
        used_up = bool(reason)
        if not reason and wanted * held.side <= 0:
            reason = "forced" if not allowed else "risk" if asked * held.side > 0 else "signal"
        elif not reason and bar - held.entry_bar >= held.ttl:
            reason, used_up = "time_out", True
        if reason:
            self.leave(bar, reason, now.open, arrival=arrival, at_open=True)
        return used_up

    def enter_now(self, bar: int, now: Bar, wanted: Decimal, order: list[float]) -> Decimal:
        """A market entry, flat; the price it met."""
        side = 1 if wanted > 0 else -1
        jump = abs(now.open / self.rows[bar - 1].close - 1)
        if jump > exact(self.config.risk.price_collar_bps) * BPS:
            self.met.add("collar")
            self.counts["refused"] += 1
            return now.open
        arrival = self.late(now.open, now.high if side > 0 else now.low)
        self.enter(bar, side, wanted, order, arrival)
        return arrival

    def rest(self, bar: int, now: Bar, wanted: Decimal, order: list[float]) -> bool:
        """Keep, cancel, place and fill a limit entry; whether one rested in this bar."""
        if self.resting and wanted * self.resting.target <= 0:
            self.met.add("limit cancelled")
            self.resting = None
        side = 1 if wanted > 0 else -1
        if self.resting is None:
            if not wanted:
                return False
            level = self.behind(self.rows[bar - 1].close * (1 - side * exact(order[4]) * BPS), side)
            if side * (now.open - level) <= 0:
                self.met.add("post-only")
                self.counts["refused"] += 1
                return False
            self.resting = Resting(wanted, level, order, math.ceil(self.config.limit_ttl_bars))
        level = self.resting.level
        worst = now.low if side > 0 else now.high
        if side * (worst - level) >= 0:
            self.resting.bars_left -= 1
            if self.resting.bars_left == 0:
                self.resting = None
                self.counts["expired"] += 1
            return True
        wanted_size = self.affordable(self.resting.target, level, self.maker)
        self.book(bar, side, wanted_size, level, level, self.maker, Decimal(0), self.resting.order)
        self.resting = None
        if self.position is not None:
            self.met.add("limit filled")
            self.after_fill(bar, now, level)
        return True

    def after_fill(self, bar: int, now: Bar, level: Decimal) -> None:
        """The bracket of a limit entry meets what came after the fill."""
        held = self.position
        assert held is not None
        finer = self.finer[self.first_finer[bar] : self.first_finer[bar + 1]]
        for place, piece in enumerate(finer):
            if held.side * ((piece.low if held.side > 0 else piece.high) - level) < 0:
                self.met.add("limit filled in finer")
                self.inside(bar, level, after=place)
                return
        found = self.touch(level, self.since(level, now), held.side * NOWHERE, self.adverse_level())
        if found is not None:
            self.leave(bar, self.stop_reason(found[1]), found[1], at_open=False)

    def at_close(self, bar: int, now: Bar, rested: bool) -> Decimal:
        self.equity = self.value(now.close)
        if not self.ruined and self.equity <= exact(self.config.stop_out_fraction) * self.initial:
            if self.position is not None:
                self.leave(bar, "ruin", now.close, at_open=False)
            self.ruined = True
            self.equity = self.cash
        if self.position is not None:
            self.move_stop(Bar(*[now.close] * 4) if rested else now)
        self.breakers.end(bar, now.high, now.low, self.equity)
        return self.equity

    def move_stop(self, seen: Bar) -> None:
        held = self.position
        assert held is not None
        side, config = held.side, self.config
        held.best = max(held.best, seen.high) if side > 0 else min(held.best, seen.low)
        levels = {}
        if math.isfinite(config.trailing_bps):
            levels["trailing"] = self.behind(held.best * (1 - side * exact(config.trailing_bps) * BPS), side)
        if side * (held.best - held.price) >= exact(config.break_even_bps) * BPS * held.price:
            levels["break even"] = self.behind(held.price, side)
        for name, level in levels.items():
            if side * (level - held.stop) > 0:
                self.met.add(name)
                held.stop = level

    def value(self, close: Decimal) -> Decimal:
        held = self.position
        return self.cash + (held.side * held.size * self.worth(close) if held is not None else 0)


def simulate(
    market: Market, orders: list[list[float]], config: MarketConfig, capital: float
) -> tuple[Account, list[Decimal]]:
    """Trade one account over all bars; equity at each close, the last after closing what was open."""
    account = Account(market, config, exact(capital))
    equity = [account.cash]
    for bar in range(1, len(market)):
        equity.append(account.step(bar, orders[bar - 1]))
    if account.position is not None:
        account.coefficient = exact(market.prices[-1, 6])
        account.leave(len(market) - 1, "end", account.rows[-1].close, at_open=False)
        equity[-1] = account.cash
    return account, equity
