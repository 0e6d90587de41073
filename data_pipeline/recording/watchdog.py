"""Notices data that has stopped coming. Pings prove nothing: a stalled feed answers them for ever."""

from __future__ import annotations

import time
from collections.abc import Callable


class Watchdog:
    """Times of the last events of one connection. `clock` gives seconds and never goes back.

    Three limits: `connect_s` for the first event of a connection, `stale_s` for any event after it, `stream_stale_s`
    for each steady stream (book, bbo) after its own first event; trades of a quiet market may pause for long, so they
    have no limit of their own.
    """

    def __init__(
        self,
        *,
        stale_s: float,
        stream_stale_s: float,
        connect_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stale_s = stale_s
        self._stream_stale_s = stream_stale_s
        self._connect_s = connect_s
        self._clock = clock
        self._started: float | None = None
        self._last: float | None = None
        self._streams: dict[tuple[str, str], float] = {}

    @property
    def has_data(self) -> bool:
        """Whether the connection has brought an event."""
        return self._last is not None

    def start(self) -> None:
        """A new connection is being opened."""
        self._started = self._clock()
        self._last = None
        self._streams.clear()

    def stop(self) -> None:
        """There is no connection to watch."""
        self._started = None

    def seen(self, stream: tuple[str, str] | None) -> None:
        """An event has come; `stream` is its (kind, symbol), or None for one without a limit of its own."""
        self._last = self._clock()
        if stream is not None:
            self._streams[stream] = self._last

    def verdict(self) -> str | None:
        """Why the connection has to be given up, or None."""
        if self._started is None:
            return None
        now = self._clock()
        if self._last is None:
            waited = now - self._started
            return f"no event within {waited:.1f} s of connecting" if waited > self._connect_s else None
        if now - self._last > self._stale_s:
            return f"no event for {now - self._last:.1f} s"
        if self._stream_stale_s > 0:
            for (kind, symbol), last in self._streams.items():
                if now - last > self._stream_stale_s:
                    return f"no {kind} event of {symbol} for {now - last:.1f} s"
        return None
