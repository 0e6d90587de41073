"""A whole download: recover, plan, archives, REST, seal."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data_pipeline.download.archive import ArchiveSource
from data_pipeline.download.archive_bars import ArchiveBars, ArchiveRun, archive_target
from data_pipeline.download.archive_trades import download_trades
from data_pipeline.download.committer import Committer
from data_pipeline.download.concurrency import together
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.layouts import archive_layout
from data_pipeline.download.progress import Report, Silent
from data_pipeline.download.rest import RestSource
from data_pipeline.download.targets import Target, pages, rest_target, venue_of, wanted_range
from data_pipeline.errors import InputError
from data_pipeline.schema import iso_time
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.recovery import Recovery
from data_pipeline.store.writer import open_store

if TYPE_CHECKING:
    import aiohttp


@dataclass
class Outcome:
    """What a download did."""

    rows: int = 0
    missing: int = 0
    """Bars newly accepted as missing."""
    retried: int = 0
    """Answers that were refused, broken or not believed."""
    refusals: int = 0
    """Answers 429 and 418."""
    unavailable: list[str] = field(default_factory=list)
    """Files that the archive does not have, where nothing else was allowed."""
    reissued: list[str] = field(default_factory=list)
    """Archive files that changed since their month was sealed."""
    recovery: Recovery = field(default_factory=Recovery)


async def download(
    config: DownloadConfig, *, session: aiohttp.ClientSession | None = None, report: Report | None = None
) -> Outcome:
    """Bring the store at `config.store` up to what `config` wants. Killed at any moment, run again, it goes on.

    `session` carries every request when given, and is left open.

    Raises InputError, in one line, for whatever a person has to mend.
    """
    report = report or Silent()
    wanted_range(config)
    venue = venue_of(config)
    by_rest = config.data == "bars" and config.source != "archive"
    has_archive = bool(config.archive_url) or archive_layout(venue) is not None
    by_archive = config.data == "trades" or config.source == "archive" or (config.source == "auto" and has_archive)
    if config.data == "trades" and config.source == "rest":
        raise InputError("trades come from the archive only", where="--source", remedy="use --source archive")
    rest = RestSource(venue, config, session) if by_rest else None
    archive = ArchiveSource(venue, config, session) if by_archive else None
    outcome = Outcome()
    with open_store(config.store) as (ledger, outcome.recovery):
        _tell_recovery(outcome.recovery, report)
        async with AsyncExitStack() as stack:
            if archive is not None:
                await stack.enter_async_context(archive)
            if rest is not None:
                await stack.enter_async_context(rest)
            now_ms = int(time.time() * 1000) if rest is None else rest.now_ms()
            committer = await stack.enter_async_context(Committer(ledger, report, now_ms))
            if config.data == "trades":
                assert archive is not None
                await download_trades(
                    archive, ledger, committer, config, now_ms, outcome.unavailable, outcome.reissued, report
                )
            else:
                await _download_bars(rest, archive, ledger, committer, config, now_ms, outcome, report)
        for url in outcome.reissued:
            report.say(f"re-issued by the archive, fetched again: {url}")
        outcome.rows, outcome.missing = committer.rows, committer.missing
        if rest is not None:
            outcome.retried, outcome.refusals = rest.failures, rest.governor.refusals
    return outcome


async def _download_bars(
    rest: RestSource | None,
    archive: ArchiveSource | None,
    ledger: Ledger,
    committer: Committer,
    config: DownloadConfig,
    now_ms: int,
    outcome: Outcome,
    report: Report,
) -> None:
    targets: list[Target] = []
    for symbol in dict.fromkeys(config.symbols):
        if rest is not None:
            targets.append(await rest_target(rest, ledger, symbol, config))
        else:
            assert archive is not None
            targets.append(await archive_target(archive, ledger, symbol, config, now_ms))
    since, _ = wanted_range(config)
    for target in targets:
        if target.first_ms is not None and target.first_ms - since >= target.series.interval_ms:
            report.say(f"{target.series} has no bar before {iso_time(target.first_ms)}")
        wanted = sum(stop - start for start, stop in target.todo(ledger)) // target.series.interval_ms
        report.begin(target.series, wanted)
    if archive is not None:
        run = ArchiveRun(archive, rest, ledger, committer, now_ms)
        await together(ArchiveBars(run, target, outcome.unavailable, outcome.reissued).fetch() for target in targets)
    if rest is not None:
        await read_pages(rest, ledger, committer, targets, config.in_flight)
    await committer.drained()
    for target in targets:
        await committer.seal(target.series)


async def read_pages(
    rest: RestSource, ledger: Ledger, committer: Committer, targets: list[Target], workers: int
) -> None:
    """Read everything that `targets` still lack by REST, `workers` requests at a time, and commit it."""
    sizes = {target.series: rest.page_rows * target.series.interval_ms for target in targets}
    queue = await committer.call(lambda: pages(targets, ledger, sizes))

    async def work() -> None:
        while queue:
            target, span = queue.popleft()
            assert target.market is not None
            await committer.put(await rest.chunk(target.market, span))

    await together(work() for _ in range(min(workers, len(queue))))


def _tell_recovery(recovery: Recovery, report: Report) -> None:
    for path in recovery.quarantined:
        report.say(f"quarantined, to be fetched again: {path} is not what was sealed")
    for path in recovery.vanished:
        report.say(f"gone, to be fetched again: {path}")
