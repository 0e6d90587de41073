"""Bars from the archive: whole months straight into the lake, days into the hot rows, re-issued files noticed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from data_pipeline.download.archive import ArchiveSource
from data_pipeline.download.committer import Committer
from data_pipeline.download.concurrency import together
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.rest import RestSource, missing_spans
from data_pipeline.download.targets import Target, clip_to_past, wanted_range
from data_pipeline.errors import InputError
from data_pipeline.schema import DAY_MS
from data_pipeline.store.layout import Series, Span, month_span, split_by_month
from data_pipeline.store.ledger import Chunk, Gap, Ledger, Part
from data_pipeline.store.parts import write_part
from data_pipeline.store.seal import part_rows, reopen_month
from data_pipeline.venue import store_symbol

FILES_AT_ONCE = 4
_ARCHIVE = "archive"  # as a gap's evidence names it


@dataclass
class ArchiveRun:
    """What all symbols of one download share. `rest` is None when only the archive may be asked."""

    archive: ArchiveSource
    rest: RestSource | None
    ledger: Ledger
    committer: Committer
    now_ms: int

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(FILES_AT_ONCE)


async def archive_target(
    archive: ArchiveSource, ledger: Ledger, symbol: str, config: DownloadConfig, now_ms: int
) -> Target:
    """The target of a symbol without asking the exchange: closed days only, from the first month there is.

    Raises InputError when the archive has no month of the range at all, and no day of its last month.
    """
    series = Series(archive.venue.name, store_symbol(symbol), config.interval)
    span = clip_to_past(*wanted_range(config), now_ms // DAY_MS * DAY_MS, series.interval_ms)
    first, last = ledger.bounds(series)
    if first is None:
        first = await _first_bar(archive, series, span)
        if first is None:
            raise InputError(
                f"the archive has no {series.interval} bars of {symbol} in that range",
                where="--symbols",
                remedy="check the symbol and the dates; --source rest knows the exchange's list",
            )
        ledger.set_bounds(series, first, last)
    target = Target(series, None, span, first, last)
    return Target(series, None, target.life(span), first, last)


async def _first_bar(archive: ArchiveSource, series: Series, span: Span) -> int | None:
    """Open of the first bar in the first file of the range: what comes before is taken for "not listed yet"."""
    for start, stop in split_by_month(span):
        month = month_span(start)
        found = await archive.fetch(archive.month_url(series, month[0]))
        if found is not None:
            return _first_time(archive.bars(found[0], archive.month_url(series, month[0]), series, month))
        if stop == span[1]:
            for day in range(start // DAY_MS * DAY_MS, stop, DAY_MS):
                found = await archive.fetch(archive.day_url(series, day))
                if found is not None:
                    inside = (day, day + DAY_MS)
                    return _first_time(archive.bars(found[0], archive.day_url(series, day), series, inside))
    return None


def _first_time(table: pa.Table) -> int:
    return int(table["open_time"][0].cast(pa.int64()).as_py())


class ArchiveBars:
    """The archive's part in one target. `unavailable` and `reissued` collect URLs for the caller."""

    def __init__(self, run: ArchiveRun, target: Target, unavailable: list[str], reissued: list[str]) -> None:
        self._run = run
        self._target = target
        self._series = target.series
        self._unavailable = unavailable
        self._reissued = reissued

    async def fetch(self) -> None:
        """Check what is sealed, then fetch whole months; days too, when there is no REST to do it."""
        run, committer = self._run, self._run.committer
        await together([self._check(part) for part in await committer.call(self._from_archive)])
        await together([self._second_opinion(part, gaps) for part, gaps in await committer.call(self._told_by_rest)])
        months = await committer.call(lambda: self._target.whole_months(run.ledger, run.now_ms))
        await together([self._month(month) for month in months])
        if run.rest is None:
            todo = await committer.call(lambda: self._target.todo(run.ledger))
            days = [day for low, stop in todo for day in range(low // DAY_MS * DAY_MS, stop, DAY_MS)]
            await together([self._day(day) for day in days])
        else:
            await self._confirm_gaps()

    def _from_archive(self) -> list[Part]:
        known = self._run.ledger.archives(self._series)
        return [part for part in self._run.ledger.parts(self._series) if part.start_ms in known]

    async def _month(self, month: Span) -> None:
        run = self._run
        url = run.archive.month_url(self._series, month[0])
        async with run.slots:
            found = await run.archive.fetch(url)
            if found is None:
                return
            content, digest = found
            table, gaps = await self._complete(content, url, month)
            part = await asyncio.to_thread(write_part, run.ledger.root, self._series, month, table, _ARCHIVE)
            await run.committer.call(lambda: run.ledger.put_part(part, gaps=gaps, archive=(url, digest)))
        run.committer.count(self._series, table.num_rows, _bars_in(gaps, self._series))

    async def _day(self, day: int) -> None:
        run, span = self._run, (day, day + DAY_MS)
        url = run.archive.day_url(self._series, day)
        async with run.slots:
            found = await run.archive.fetch(url)
            if found is None:
                self._unavailable.append(url)
                return
            table, gaps = await self._complete(found[0], url, span)
            await run.committer.put(Chunk(self._series, *span, table, _ARCHIVE, gaps))

    async def _complete(self, content: bytes, url: str, span: Span) -> tuple[pa.Table, tuple[Gap, ...]]:
        """The file's bars, with what it lacks asked from REST where that is allowed."""
        step = self._series.interval_ms
        table = await asyncio.to_thread(self._run.archive.bars, content, url, self._series, span)
        holes = missing_spans(table, self._target.life(span), step)
        rest, market = self._run.rest, self._target.market
        if rest is None or market is None:
            return table, tuple(Gap(*hole, 1, f"{_ARCHIVE} x1", confirmed=False) for hole in holes)
        gaps: list[Gap] = []
        for low, stop in holes:
            for start in range(low, stop, rest.page_rows * step):
                piece = (start, min(start + rest.page_rows * step, stop))
                chunk = await rest.chunk(market, piece, evidence=f"{_ARCHIVE} + rest")
                table = pa.concat_tables([table, chunk.table])
                gaps += chunk.gaps
        return (table.sort_by("open_time") if holes else table).combine_chunks(), tuple(gaps)

    async def _check(self, part: Part) -> None:
        """Fetch a month again when the archive's checksum is not the one that it was made from."""
        run = self._run
        url = run.archive.month_url(self._series, part.start_ms)
        async with run.slots:
            known = (await run.committer.call(lambda: run.ledger.archives(self._series)))[part.start_ms][1]
            digest = await run.archive.checksum(url)
            if digest is None or digest == known:
                return
            found = await run.archive.fetch(url)
            if found is None:
                return
            table, gaps = await self._complete(found[0], url, (part.start_ms, part.stop_ms))
        rows = Chunk(self._series, part.start_ms, part.stop_ms, table, _ARCHIVE, gaps)
        why = f"re-issued, sha256 {known[:12]} became {found[1][:12]}"
        await run.committer.call(lambda: reopen_month(run.ledger, part, rows, why, run.now_ms, (url, found[1])))
        self._reissued.append(url)

    def _told_by_rest(self) -> list[tuple[Part, list[Gap]]]:
        """Sealed months without an archive behind them that have gaps, with their gaps."""
        ledger = self._run.ledger
        known, all_gaps = ledger.archives(self._series), ledger.gaps(self._series)
        told = []
        for part in ledger.parts(self._series):
            gaps = [gap for gap in all_gaps if part.start_ms <= gap.start_ms < part.stop_ms]
            if part.start_ms not in known and any(_ARCHIVE not in gap.evidence for gap in gaps):
                told.append((part, gaps))
        return told

    async def _second_opinion(self, part: Part, gaps: list[Gap]) -> None:
        """Hold gaps that only REST told of against the month's archive, once there is one; take what it has."""
        run, month = self._run, (part.start_ms, part.stop_ms)
        url = run.archive.month_url(self._series, part.start_ms)
        async with run.slots:
            found = await run.archive.fetch(url)
            if found is None:
                return
            step = self._series.interval_ms
            table = await asyncio.to_thread(run.archive.bars, found[0], url, self._series, month)
        more, left = [], []
        for gap in gaps:
            times = table["open_time"].cast(pa.int64()).to_numpy()
            first, stop = np.searchsorted(times, (gap.start_ms, gap.stop_ms))
            more.append(table.slice(first, stop - first))
            holes = missing_spans(more[-1], (gap.start_ms, gap.stop_ms), step)
            left += [Gap(*hole, gap.reads, f"{gap.evidence} + {_ARCHIVE}") for hole in holes]
        if not any(piece.num_rows for piece in more):
            await run.committer.call(partial(run.ledger.put_gaps, self._series, left))
            return
        old = await asyncio.to_thread(part_rows, run.ledger, part)
        rows = pa.concat_tables([old, *more]).sort_by("open_time").combine_chunks()
        chunk = Chunk(self._series, *month, rows, f"{part.source}+{_ARCHIVE}", tuple(left))
        why = f"bars that REST lacked came from {url}"
        await run.committer.call(partial(reopen_month, run.ledger, part, chunk, why, run.now_ms))
        run.committer.count(self._series, rows.num_rows - old.num_rows, 0)

    async def _confirm_gaps(self) -> None:
        """Ask REST about gaps that only an archive told of; put bars that turn up into their month."""
        run, rest, market = self._run, self._run.rest, self._target.market
        assert rest is not None
        assert market is not None
        gaps = await run.committer.call(lambda: run.ledger.gaps(self._series))
        parts = await run.committer.call(lambda: run.ledger.parts(self._series))
        step = self._series.interval_ms
        for part in parts:
            inside = [gap for gap in gaps if part.start_ms <= gap.start_ms < part.stop_ms]
            if all(gap.confirmed for gap in inside):
                continue
            found, known = [], [gap for gap in inside if gap.confirmed]
            for gap in inside:
                if not gap.confirmed:
                    for start in range(gap.start_ms, gap.stop_ms, rest.page_rows * step):
                        piece = (start, min(start + rest.page_rows * step, gap.stop_ms))
                        chunk = await rest.chunk(market, piece, evidence=f"{_ARCHIVE} + rest")
                        found.append(chunk.table)
                        known += chunk.gaps
            if sum(table.num_rows for table in found):
                old = await asyncio.to_thread(part_rows, run.ledger, part)
                table = pa.concat_tables([old, *found]).sort_by("open_time").combine_chunks()
                rows = Chunk(self._series, part.start_ms, part.stop_ms, table, part.source, tuple(known))
                archive = (await run.committer.call(lambda: run.ledger.archives(self._series))).get(part.start_ms)
                why = "bars that the archive lacked came by REST"
                work = partial(reopen_month, run.ledger, part, rows, why, run.now_ms, archive)
                await run.committer.call(work)
            else:
                await run.committer.call(partial(run.ledger.put_gaps, self._series, known))


def _bars_in(gaps: tuple[Gap, ...], series: Series) -> int:
    return sum(gap.stop_ms - gap.start_ms for gap in gaps) // series.interval_ms
