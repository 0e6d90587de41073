"""One weight budget for every request to an exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

MINUTE_S = 60.0
_ASKED_TO_WAIT = (418, 429)
_ROUNDING_S = 1e-9  # sums of float seconds that are due are never due exactly


class WeightGovernor:
    """Spreads request weight evenly, so that no window of the exchange's, wherever it begins, holds too much of it.

    Pacing is the generic cell rate algorithm (ITU-T I.371): weight flows at `share` of `limit` per `window_s`, with a
    burst of half of what the share leaves, so that any window holds at most share + (1 - share) / 2 of the limit. What
    others on the same address use shows in the used-weight header; once all together come to that same mark, everything
    waits for the exchange's next minute. A 429 or 418 stops everything for as long as its Retry-After says.
    """

    def __init__(
        self, limit: int, *, window_s: float = MINUTE_S, share: float, in_flight: int, patience_s: float = MINUTE_S
    ) -> None:
        self.ceiling = limit * (1.0 + share) / 2.0
        self.refusals = 0
        """Answers 429 and 418 so far; own traffic alone never earns one."""
        self._seconds_per_weight = window_s / (limit * share)
        self._burst_s = limit * (1.0 - share) / 2.0 * self._seconds_per_weight
        self._slots = asyncio.Semaphore(in_flight)
        self._patience_s = patience_s
        self._due = 0.0
        self._held_until = 0.0

    @asynccontextmanager
    async def slot(self, weight: int) -> AsyncIterator[None]:
        """Hold one of the `in_flight` places, entered when `weight` may be spent."""
        async with self._slots:
            await self._pass(weight)
            yield

    async def _pass(self, weight: int) -> None:
        loop = asyncio.get_running_loop()
        cost = weight * self._seconds_per_weight
        while True:
            now = loop.time()
            due = max(self._due, now)
            wait = max(self._held_until - now, due + cost - now - max(cost, self._burst_s))
            if wait <= _ROUNDING_S:
                self._due = due + cost
                return
            await asyncio.sleep(wait)

    def hold(self, seconds: float) -> None:
        """Let no request start for `seconds` from now."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)

    @property
    def held_s(self) -> float:
        """Seconds until requests may start again; 0 when they may."""
        return max(0.0, self._held_until - asyncio.get_running_loop().time())

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer: used weight, and for how long to keep away."""
        lower = {name.lower(): value for name, value in headers.items()}
        if status in _ASKED_TO_WAIT:
            self.refusals += 1
            self.hold(_seconds(lower.get("retry-after"), self._patience_s))
            return
        used = lower.get("x-mbx-used-weight-1m") or lower.get("x-mbx-used-weight")
        if used is not None and used.isdigit() and int(used) >= self.ceiling:
            self.hold(MINUTE_S - _exchange_time(lower.get("date")) % MINUTE_S + 0.1)


def _seconds(retry_after: str | None, otherwise: float) -> float:
    """Retry-After is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return otherwise
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return otherwise


def _exchange_time(date: str | None) -> float:
    if date is not None:
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            pass
    return time.time()
