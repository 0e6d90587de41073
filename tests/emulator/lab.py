"""What most tests of the pipeline need: an emulated exchange, an archive, and a download against the two."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.progress import Silent
from data_pipeline.download.run import Outcome, download
from data_pipeline.schema import iso_time
from tests.emulator.archive import ArchiveSite
from tests.emulator.bars import BarSource
from tests.emulator.core import ExchangeCore, Listing
from tests.emulator.faults import FaultPlan
from tests.emulator.network import Network
from tests.emulator.server import serving

JANUARY = 1_704_067_200_000  # 2024-01-01
FEBRUARY = 1_706_745_600_000
MARCH = 1_709_251_200_000
HOUR = 3_600_000


@dataclass
class Lab:
    """An exchange with `listings` whose clock stands at `now_ms`, and a store to fill from it."""

    store: Path
    listings: list[Listing]
    now_ms: int
    archive: ArchiveSite = field(default_factory=ArchiveSite)
    network: Network = field(default_factory=Network)
    report: Silent = field(default_factory=Silent)

    def __post_init__(self) -> None:
        self.core = ExchangeCore(self.listings, clock=lambda: self.now_ms / 1000)

    @property
    def faults(self) -> FaultPlan:
        """The exchange's fault plan."""
        return self.core.faults

    def config(self, **changes: object) -> DownloadConfig:
        """Hourly bars by REST from January on, with retries that do not wait."""
        base = DownloadConfig(
            symbols=("BTC/USDT",),
            since=iso_time(JANUARY),
            interval="1h",
            source="rest",
            store=self.store,
            retry_wait_s=0.001,
            page_rows=200,
        )
        return dataclasses.replace(base, **changes)

    def download(self, **changes: object) -> Outcome:
        """Run the real downloader against the emulated hosts."""

        async def run() -> Outcome:
            async with serving(self.network, self.core, self.archive), self.network.session() as session:
                return await download(self.config(**changes), session=session, report=self.report)

        return asyncio.run(run())


def hourly(
    base: str = "BTC", *, hours: int = 24 * 75, missing: frozenset[int] = frozenset(), **listing: object
) -> Listing:
    """A market of hourly bars from January 2024 on; the default runs to the middle of March."""
    source = BarSource(JANUARY, hours, HOUR, seed=len(base) + ord(base[0]), missing=missing)
    return Listing(base, "USDT", source, **listing)
