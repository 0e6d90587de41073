"""The exchange's archive site, or a mirror of it, at any base URL or in a local folder."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import pyarrow as pa
import stamina

from data_pipeline.download.archive_files import bars_from_archive, trades_from_archive
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.layouts import archive_layout
from data_pipeline.errors import InputError
from data_pipeline.store.layout import Series, Span, day_label, month_label
from data_pipeline.venue import Venue

if TYPE_CHECKING:
    from types import TracebackType

TIMEOUT_S = 120.0
T = TypeVar("T")


class _RetryError(Exception):
    """The site failed, or a file and its checksum did not match: ask again."""


class ArchiveSource:
    """Files with their checksums. Use as an async context manager; `session` is left open when it was given."""

    def __init__(self, venue: Venue, config: DownloadConfig, session: aiohttp.ClientSession | None = None) -> None:
        layout = archive_layout(venue)
        if layout is None:
            raise InputError(
                f"no archive of {venue.exchange} is known", where="--source", remedy="use --source rest, or binance"
            )
        base = config.archive_url or layout.base_url
        self.venue = venue
        self.config = config
        self.layout = layout
        self._folder = None if "://" in base else Path(base)
        self._base = base.rstrip("/")
        self._session = session
        self._own_session = session is None and self._folder is None

    async def __aenter__(self) -> ArchiveSource:
        if self._folder is not None and not self._folder.is_dir():
            raise InputError("there is no such folder", where=str(self._folder), remedy="check --archive-url")
        if self._own_session:
            self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_session and self._session is not None:
            await self._session.close()

    def month_url(self, series: Series, start_ms: int) -> str:
        """Where the month of bars beginning at `start_ms` is."""
        return f"{self._base}/{self.layout.path(series, month_label(start_ms))}"

    def day_url(self, series: Series, start_ms: int) -> str:
        """Where the day of bars or trades beginning at `start_ms` is."""
        return f"{self._base}/{self.layout.path(series, day_label(start_ms))}"

    def bars(self, content: bytes, url: str, series: Series, span: Span) -> pa.Table:
        """The bars in a file that `fetch` gave. Raises InputError, naming the file, for what they cannot be."""
        return bars_from_archive(content, _name(url), span, series.interval_ms, self.layout.bar_fields)

    def trades(self, content: bytes, url: str, span: Span) -> pa.Table:
        """The trades in a file that `fetch` gave. Raises InputError, naming the file, for what they cannot be."""
        return trades_from_archive(content, _name(url), span, self.layout.trade_fields)

    async def checksum(self, url: str) -> str | None:
        """The sha256 that the CHECKSUM file names; None when there is no such file."""
        return await self._retry(url, lambda: self._checksum(url))

    async def fetch(self, url: str) -> tuple[bytes, str] | None:
        """A file and its sha256, the two in agreement; None when the archive does not have it."""
        return await self._retry(url, lambda: self._fetch(url))

    async def _checksum(self, url: str) -> str | None:
        text = await self._get(f"{url}{self.layout.checksum_suffix}")
        if text is None:
            return None
        found = re.match(rb"\s*([0-9a-fA-F]{64})\b", text)
        if found is None:
            raise _RetryError("the CHECKSUM file does not begin with a sha256")
        return found.group(1).decode().lower()

    async def _fetch(self, url: str) -> tuple[bytes, str] | None:
        expected = await self._checksum(url)
        if expected is None:
            return None
        content = await self._get(url)
        if content is None:
            raise _RetryError("there is a checksum but no file")
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        if digest != expected:
            raise _RetryError(f"sha256 is {digest[:12]}..., the CHECKSUM file says {expected[:12]}...")
        return content, digest

    async def _retry(self, url: str, call: Callable[[], Awaitable[T]]) -> T:
        wait = self.config.retry_wait_s
        try:
            async for attempt in stamina.retry_context(
                on=(_RetryError, aiohttp.ClientError, asyncio.TimeoutError, ConnectionError),
                attempts=self.config.attempts,
                timeout=None,
                wait_initial=wait,
                wait_max=20.0,
                wait_jitter=wait,
            ):
                with attempt:
                    return await call()
        except (TimeoutError, _RetryError, aiohttp.ClientError, ConnectionError) as error:
            raise InputError(
                f"not to be had in {self.config.attempts} attempts ({type(error).__name__}: {error})",
                where=url,
                remedy="run again later, or use --source rest",
            ) from error
        raise AssertionError("the retry context returns or raises")

    async def _get(self, url: str) -> bytes | None:
        if self._folder is not None:
            path = Path(url)
            return await asyncio.to_thread(path.read_bytes) if path.is_file() else None
        assert self._session is not None
        async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as response:
            if response.status in (403, 404):  # an S3 bucket that may not be listed says 403 for what is not there
                return None
            if response.status != 200:
                raise _RetryError(f"status {response.status}")
            return await response.read()


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
