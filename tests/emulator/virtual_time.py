"""An event loop whose clock jumps to the next timer instead of waiting for it: hours of pacing in moments.

Only for code without sockets: nothing can arrive while the loop would sleep. `CoreSession` stands in for the network.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from multidict import CIMultiDict
from yarl import URL

from tests.emulator.core import ExchangeCore, Reply

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits; tells the loop how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing is left to happen: a task waits for what never comes")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves only when every task sleeps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class CoreSession:
    """The part of an aiohttp session that ccxt uses, answered by an emulated exchange after `latency_s`."""

    def __init__(self, core: ExchangeCore, latency_s: float) -> None:
        self._core = core
        self._latency_s = latency_s

    headers: Mapping[str, str] = MappingProxyType({})

    def get(self, url: URL, **_: object) -> _Answer:
        """A GET as an async context manager."""
        return _Answer(self._core, url, self._latency_s)


class _Answer:
    def __init__(self, core: ExchangeCore, url: URL, latency_s: float) -> None:
        self._core, self._url, self._latency_s = core, url, latency_s

    async def __aenter__(self) -> _Answer:
        await asyncio.sleep(self._latency_s / 2)
        self._reply: Reply = self._core.respond(self._url.host or "", self._url.path, self._url.query)
        await asyncio.sleep(self._latency_s / 2)
        self.status = self._reply.status
        self.reason = ""
        self.headers: CIMultiDict[str] = CIMultiDict(self._reply.headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held open."""

    async def text(self, errors: str = "strict") -> str:
        """The body."""
        return self._reply.body.decode(errors=errors)
