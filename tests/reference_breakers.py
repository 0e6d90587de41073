"""The circuit breakers of docs/fills.md in exact decimals, written from that page alone."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from envs.config import RiskLimits

FOREVER = Decimal("Infinity")
ACTIVE, REDUCING, STOPPED = "active", "reducing", "stopped"
SEVERITY = (ACTIVE, REDUCING, STOPPED)
USUAL_WEIGHT = 1 / Decimal(60)


def exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


@dataclass
class Breakers:
    limits: RiskLimits
    peak: Decimal
    state: str = ACTIVE
    cause: str = "none"
    blocked_to: Decimal = Decimal(0)
    """Last bar that it holds for; lasting limits lift by day or by hand instead."""
    day: int | None = None
    day_equity: Decimal = Decimal(0)
    entries: int = 0
    losses: int = 0
    usual: Decimal = Decimal(0)

    def begin(self, bar: int, day: int, equity: Decimal) -> None:
        if day != self.day:
            self.day, self.day_equity, self.entries = day, equity, 0
            if self.cause in ("daily_loss", "daily_entries"):
                self.state, self.cause = ACTIVE, "none"
        if self.state != ACTIVE and bar > self.blocked_to:
            self.state, self.cause = ACTIVE, "none"

    def end(self, bar: int, high: Decimal, low: Decimal, equity: Decimal) -> None:
        self.peak = max(self.peak, equity)
        width = high / low - 1
        burst = self.usual > 0 and width >= exact(self.limits.volatility_multiple) * self.usual
        self.usual = width if self.usual == 0 else self.usual + USUAL_WEIGHT * (width - self.usual)
        rest = bar + exact(self.limits.cool_down_bars).to_integral_value(ROUND_CEILING)
        reached = (
            (1 - equity / self.peak >= exact(self.limits.drawdown), STOPPED, "drawdown", FOREVER),
            (1 - equity / self.day_equity >= exact(self.limits.daily_loss), STOPPED, "daily_loss", FOREVER),
            (self.entries >= exact(self.limits.entries_per_day), REDUCING, "daily_entries", FOREVER),
            (self.losses >= exact(self.limits.losing_streak), REDUCING, "losing_streak", rest),
            (burst, REDUCING, "volatility", rest),
        )
        topmost = next((limit[1:] for limit in reached if limit[0]), None)
        if topmost is None or (self.state == STOPPED and self.cause == "drawdown"):
            return
        state, cause, until = topmost
        severer = SEVERITY.index(state) - SEVERITY.index(self.state)
        if severer > 0 or (severer == 0 and (until > self.blocked_to or cause == "drawdown")):
            self.state, self.cause, self.blocked_to = state, cause, until
            if cause == "losing_streak":
                self.losses = 0
