"""Settings of the book market. Light on purpose: importing this module pulls in nothing compiled."""

from dataclasses import dataclass
from typing import Literal, get_args

from data_pipeline.errors import InputError
from envs.config import MarketConfig

MOST_STEPS_UNDER_WAY = 32
"""Whole steps that a decision may need to arrive, and so the most decisions under way between two of them."""

QueueModel = Literal["risk_averse", "proportional"]


@dataclass(frozen=True)
class BookConfig(MarketConfig):
    """`MarketConfig` with what a book needs on top. A bar is a step here, so `ttl_bars` counts steps.

    `half_spread_bps`, `impact`, `max_participation` and `both_touched` have no meaning in a book, which shows its
    spread, its depth and the order of events; they are left as they are. `latency_ms` may be longer than a step,
    up to `MOST_STEPS_UNDER_WAY` whole ones and a part.
    Raises InputError for a value that no market can have.
    """

    queue: QueueModel = "risk_averse"
    """Who leaves a queue by cancelling: only those behind (risk_averse), or all in proportion to their size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queue not in get_args(QueueModel):
            remedy = f"use one of {', '.join(get_args(QueueModel))}"
            raise InputError(f"queue {self.queue!r} is unknown", where="book config", remedy=remedy)
