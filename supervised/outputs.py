"""What a model says at every row: the order of its outputs, their names and their targets. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from data_pipeline.errors import InputError

OUTCOMES = ("stop", "time", "take")
"""Classes of a bracket in the order of its outputs; a target is the class number less one: -1, 0, +1."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """A take-profit, a stop and a time-out whose outcome is predicted, entered at the next open."""

    take_profit_bps: float
    """Distance of the take-profit from the entry, bps; inf for none."""
    stop_loss_bps: float
    """Distance of the stop, bps; inf for none."""
    ttl_bars: int
    """Bars, the entry bar included, after which the position leaves at the next open."""
    side: int = 1
    """+1 long, -1 short."""

    def __post_init__(self) -> None:
        for name in ("take_profit_bps", "stop_loss_bps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} {getattr(self, name)} is not positive", where="Bracket", remedy="give bps")
        if self.ttl_bars < 1:
            raise InputError(f"ttl_bars {self.ttl_bars} is below 1", where="Bracket", remedy="use 1 or more")
        if self.side not in (1, -1):
            raise InputError(
                f"side {self.side} is neither +1 nor -1", where="Bracket", remedy="+1 is long, -1 is short"
            )


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """The O = 2H + 3K outputs of a model of H horizons and K brackets, and the H + K targets it learns them from."""

    horizons: tuple[int, ...]
    """Bars ahead, in the order of the label columns."""
    brackets: tuple[Bracket, ...] = ()
    """Brackets, in the order of the outcome columns."""

    @property
    def size(self) -> int:
        """O."""
        return 2 * len(self.horizons) + len(OUTCOMES) * len(self.brackets)

    @property
    def targets(self) -> int:
        """H + K: columns of y, label returns (bps) and then outcomes (-1, 0, +1), NaN where unknown."""
        return len(self.horizons) + len(self.brackets)

    @property
    def direction(self) -> slice:
        """Outputs that are logits of P(up), one per horizon."""
        return slice(0, len(self.horizons))

    @property
    def move(self) -> slice:
        """Outputs that are logarithms of the expected absolute return in bps, one per horizon."""
        return slice(len(self.horizons), 2 * len(self.horizons))

    @property
    def barrier(self) -> slice:
        """Outputs that are logits of the outcomes, three per bracket."""
        return slice(2 * len(self.horizons), self.size)

    def columns(self, model: str) -> tuple[str, ...]:
        """Names of the outputs as they are forecast: P(up), expected absolute return, P(outcome)."""
        return (
            *(f"p_up_{model}_h{horizon}" for horizon in self.horizons),
            *(f"move_{model}_h{horizon}" for horizon in self.horizons),
            *(f"p_{outcome}_{model}_b{number}" for number in range(len(self.brackets)) for outcome in OUTCOMES),
        )

    def sd_columns(self, model: str) -> tuple[str, ...]:
        """Names of the direction logits' standard deviations, one per horizon."""
        return tuple(f"sd_{model}_h{horizon}" for horizon in self.horizons)
