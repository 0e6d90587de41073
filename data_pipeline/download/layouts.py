"""Where a venue's archive keeps what, and what its files hold: one entry a venue, and nothing else to write for it.

Bybit and OKX publish files too, but as far as is known (their sites were not looked at) none that can be believed on
arrival: neither has checksums, and OKX's days end at Hong Kong's midnight. They are read by REST.
"""

from __future__ import annotations

from dataclasses import dataclass

from data_pipeline.columns import ARCHIVE_COLUMNS
from data_pipeline.store.layout import TRADES, Series
from data_pipeline.venue import Venue

AGG_TRADES = ("agg_id", "price", "qty", "first_id", "last_id", "time", "buyer_is_maker", "best_match")


@dataclass(frozen=True, slots=True)
class ArchiveLayout:
    """Zips of one CSV file each, UTC months and days, every zip beside a file that begins with its sha256.

    Paths are templates with {symbol}, {interval} and {label}, which is such as 2024-01 or 2024-01-05. Fields name the
    columns of the CSV by position, a header line or none: those of `BAR_SCHEMA` or `TRADE_SCHEMA` are taken, columns of
    bars that are not among them become null. The last field may be absent in some of the files.
    """

    base_url: str
    month_of_bars: str
    day_of_bars: str
    day_of_trades: str
    bar_fields: tuple[str, ...] = ARCHIVE_COLUMNS
    trade_fields: tuple[str, ...] = AGG_TRADES
    checksum_suffix: str = ".CHECKSUM"

    def path(self, series: Series, label: str) -> str:
        """Path of the file of `series` for the month or day `label`."""
        if series.interval == TRADES:
            template = self.day_of_trades
        else:
            template = self.month_of_bars if len(label) == len("2024-01") else self.day_of_bars
        return template.format(symbol=series.symbol, interval=series.interval, label=label)


def _binance(market: str) -> ArchiveLayout:
    bars = "klines/{symbol}/{interval}/{symbol}-{interval}-{label}.zip"
    return ArchiveLayout(
        "https://data.binance.vision",
        f"data/{market}/monthly/{bars}",
        f"data/{market}/daily/{bars}",
        f"data/{market}/daily/aggTrades/{{symbol}}/{{symbol}}-aggTrades-{{label}}.zip",
    )


_LAYOUTS: dict[Venue, ArchiveLayout] = {
    Venue("binance", "spot"): _binance("spot"),
    Venue("binance", "linear"): _binance("futures/um"),
}


def archive_layout(venue: Venue) -> ArchiveLayout | None:
    """The archive of `venue`; None when none is known."""
    return _LAYOUTS.get(venue)
