"""Settings of a download. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_pipeline.errors import InputError


@dataclass(frozen=True)
class DownloadConfig:
    """What to fetch, from where, into which store."""

    exchange: str = "binance"
    """Any exchange that ccxt knows. Binance keeps every column, Bybit and OKX quote volume, others plain OHLCV."""
    symbols: tuple[str, ...] = ("BTC/USDT",)
    """BTC/USDT is the spot pair, BTC/USDT:USDT the linear perpetual; one contract type a run."""
    since: str = "2021-11-01"
    """First moment, ISO, UTC."""
    until: str | None = None
    """First moment not wanted any more, ISO, UTC; now, when left out."""
    interval: str = "1m"
    """Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d."""
    data: Literal["bars", "trades"] = "bars"
    """trades: aggregated trades, from the archive only."""
    source: Literal["auto", "archive", "rest"] = "auto"
    """archive: zipped files with checksums; rest: the API; auto: closed months from the archive, the rest by API."""
    store: Path = Path("data/store")
    """Folder of the store; made if need be."""
    archive_url: str = ""
    """Base URL, or local folder, of a mirror of the archive; the exchange's own when left out."""
    weight_share: float = 0.8
    """Share of the exchange's request-weight limit to use at most."""
    in_flight: int = 15
    """Requests on their way at the same time."""
    agreeing_reads: int = 3
    """A gap is accepted when this many readings in a row agree on it."""
    attempts: int = 8
    """Tries of one request before the download gives up (waits that the exchange asks for are not counted)."""
    retry_wait_s: float = 0.5
    """First pause between tries; doubles up to 20 s."""
    page_rows: int = 0
    """Bars a request; 0 takes what gives the most bars for the weight."""

    def __post_init__(self) -> None:
        if not self.symbols:
            raise InputError("no symbol is given", where="--symbols", remedy="give at least one, such as BTC/USDT")
        if not 0.0 < self.weight_share <= 1.0:
            raise InputError(
                f"weight_share {self.weight_share} is not in (0, 1]", where="--weight-share", remedy="use such as 0.8"
            )
        for name in ("in_flight", "agreeing_reads", "attempts"):
            if getattr(self, name) < 1:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{name} {getattr(self, name)} is below 1", where=option, remedy="use 1 or more")
        if self.page_rows < 0 or self.retry_wait_s < 0:
            raise InputError("page_rows and retry_wait_s cannot be negative", where="download", remedy="use 0 or more")
