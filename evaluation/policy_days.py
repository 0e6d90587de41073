"""Which of the days that a policy is judged on it has seen before, and what that leaves of the judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from envs.market import Market
from envs.performance import DAY_MS
from evaluation.formats import counted, date

USES = {"trained": "trained on", "selected": "selected by"}
UNKNOWN = "the policy does not say which days it was trained on, so these may be among them"
Seen = Mapping[str, Sequence[Sequence[int | str]]]


def seen_before(seen: Seen, market: Market) -> str:
    """Why the bars of `market` are no evidence for a policy that has `seen` those days (`PolicySpec.seen`), in words;
    empty when it has not seen any of them. Days of other symbols count: markets move together."""
    if not any(seen.values()):
        return UNKNOWN
    days = np.unique(market.open_time_ms // DAY_MS)
    found = []
    for use, words in USES.items():
        spans = [(str(symbol), int(first), int(last)) for symbol, first, last in seen.get(use, ())]
        hit = [_within(days, first, last) for _, first, last in spans]
        shared = days[np.any(hit, axis=0)] if hit else days[:0]
        if shared.size:
            names = sorted({name for (name, _, _), own in zip(spans, hit, strict=True) if own.any()} - {market.symbol})
            of_others = f" ({', '.join(names)})" if names else ""
            span = f"{date(int(shared[0]) * DAY_MS)} to {date(int(shared[-1]) * DAY_MS)}"
            found.append(f"{shared.size:,} of these {counted(days.size, 'day')} ({span}) it was {words}{of_others}")
    return " and ".join(found)


def first_unseen_ms(seen: Seen) -> int | None:
    """The first UTC day after all that a policy has seen, in ms; None when that is not known."""
    ends = [int(span[2]) for spans in seen.values() for span in spans]
    return (max(ends) // DAY_MS + 1) * DAY_MS if ends else None


def _within(days: np.ndarray, first_ms: int, last_ms: int) -> np.ndarray:
    return (days >= first_ms // DAY_MS) & (days <= last_ms // DAY_MS)
