"""Aggregated trades from the archive, a day at a time."""

from __future__ import annotations

import asyncio

from data_pipeline.download.archive import ArchiveSource
from data_pipeline.download.archive_files import trades_from_archive
from data_pipeline.download.committer import Committer
from data_pipeline.download.concurrency import together
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.progress import Report
from data_pipeline.download.targets import clip_to_past, wanted_range
from data_pipeline.errors import InputError
from data_pipeline.schema import DAY_MS
from data_pipeline.store.layout import TRADES, Series
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.parts import write_part
from data_pipeline.venue import store_symbol

DAYS_AT_ONCE = 2  # a busy day is some hundred megabytes of text


async def download_trades(
    archive: ArchiveSource,
    ledger: Ledger,
    committer: Committer,
    config: DownloadConfig,
    now_ms: int,
    unavailable: list[str],
    report: Report,
) -> None:
    """Fetch every closed day of the wanted range that is not sealed yet; URLs of absent days go to `unavailable`.

    Raises InputError when the archive has no day at all of a symbol.
    """
    start, stop = clip_to_past(*wanted_range(config), now_ms // DAY_MS * DAY_MS, DAY_MS)
    slots = asyncio.Semaphore(DAYS_AT_ONCE)

    async def fetch(series: Series, day: int) -> None:
        url = archive.day_url(series, day)
        async with slots:
            found = await archive.fetch(url)
            if found is None:
                unavailable.append(url)
                return
            content, digest = found
            name, span = url.rsplit("/", 1)[-1], (day, day + DAY_MS)
            table = await asyncio.to_thread(trades_from_archive, content, name, span)
            part = await asyncio.to_thread(write_part, ledger.root, series, span, table, "archive")
            await committer.call(lambda: ledger.put_part(part, archive=(url, digest)))
        committer.count(series, table.num_rows, 0)

    for symbol in dict.fromkeys(config.symbols):
        series = Series(archive.venue.name, store_symbol(symbol), TRADES)
        have = {part.start_ms for part in ledger.parts(series)}
        days = [day for day in range(start, stop, DAY_MS) if day not in have]
        report.begin(series, 0)
        await together(fetch(series, day) for day in days)
        if not have and len(unavailable) >= len(days) and not ledger.parts(series):
            raise InputError(
                f"the archive has no trades of {symbol} in that range",
                where="--symbols",
                remedy="check the symbol and the dates",
            )
