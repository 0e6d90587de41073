"""Aggregated trades from the archive, a day at a time."""

from __future__ import annotations

import asyncio

from data_pipeline.download.archive import ArchiveSource
from data_pipeline.download.committer import Committer
from data_pipeline.download.concurrency import together
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.progress import Report
from data_pipeline.download.targets import clip_to_past, wanted_range
from data_pipeline.errors import InputError
from data_pipeline.schema import DAY_MS
from data_pipeline.store.layout import TRADES, Series
from data_pipeline.store.ledger import Ledger, Part
from data_pipeline.store.parts import write_part
from data_pipeline.venue import store_symbol

DAYS_AT_ONCE = 2  # a busy day is some hundred megabytes of text
CHECKS_AT_ONCE = 8  # a checksum is a hundred bytes


async def download_trades(
    archive: ArchiveSource,
    ledger: Ledger,
    committer: Committer,
    config: DownloadConfig,
    now_ms: int,
    unavailable: list[str],
    reissued: list[str],
    report: Report,
) -> None:
    """Fetch every closed day of the wanted range that is not sealed yet, and sealed days whose checksum changed.

    URLs of days that the archive does not have go to `unavailable`, those of changed ones to `reissued`.

    Raises InputError when the archive has no day at all of a symbol.
    """
    start, stop = clip_to_past(*wanted_range(config), now_ms // DAY_MS * DAY_MS, DAY_MS)
    slots, checks = asyncio.Semaphore(DAYS_AT_ONCE), asyncio.Semaphore(CHECKS_AT_ONCE)

    async def fetch(series: Series, day: int) -> None:
        url = archive.day_url(series, day)
        async with slots:
            found = await archive.fetch(url)
            if found is None:
                unavailable.append(url)
                return
            part = await written(series, day, url, found[0])
            await committer.call(lambda: ledger.put_part(part, archive=(url, found[1])))
        committer.count(series, part.rows, 0)

    async def written(series: Series, day: int, url: str, content: bytes) -> Part:
        span = (day, day + DAY_MS)
        table = await asyncio.to_thread(archive.trades, content, url, span)
        return await asyncio.to_thread(write_part, ledger.root, series, span, table, "archive")

    async def check(old: Part, known: str) -> None:
        url = archive.day_url(old.series, old.start_ms)
        async with checks:
            if await archive.checksum(url) in (None, known):
                return
        async with slots:
            found = await archive.fetch(url)
            if found is None:
                return
            # The new file takes the old one's place before the ledger knows: a reader in between refuses it by its
            # hash, and so does recovery, which has the day fetched again.
            new = await written(old.series, old.start_ms, url, found[0])
            why = f"{old.path}: re-issued, sha256 {known[:12]} became {found[1][:12]}"
            await committer.call(lambda: ledger.renew_part(old, new, (url, found[1]), why, now_ms))
        committer.count(old.series, new.rows - old.rows, 0)
        reissued.append(url)

    for symbol in dict.fromkeys(config.symbols):
        series = Series(archive.venue.name, store_symbol(symbol), TRADES)
        have = {part.start_ms: part for part in ledger.parts(series)}
        known = ledger.archives(series)
        days = [day for day in range(start, stop, DAY_MS) if day not in have]
        report.begin(series, 0)
        await together(check(have[day], digest) for day, (_, digest) in known.items() if start <= day < stop)
        await together(fetch(series, day) for day in days)
        if not have and len(unavailable) >= len(days) and not ledger.parts(series):
            raise InputError(
                f"the archive has no trades of {symbol} in that range",
                where="--symbols",
                remedy="check the symbol and the dates",
            )
