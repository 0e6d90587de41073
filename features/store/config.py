"""Which bars to take features of, as options of a command. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BarsConfig:
    """Bars of a store, or bars in files: one of the two has to be given."""

    store: Path | None = None
    """Folder of a store that scripts.download filled."""
    files: tuple[Path, ...] = ()
    """Parquet, CSV or zipped CSV files, or folders of Parquet files, instead of a store."""
    symbols: tuple[str, ...] = ()
    """Only these (BTC/USDT, BTC/USDT:USDT or BTCUSDT); all that are there, when left out."""
    venue: str | None = None
    """Only this venue of the store, such as binance_spot."""
    interval: str = "1m"
    """Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d."""
    start: str | None = None
    """First moment, ISO, UTC. Features begin cold there: another start is another set."""
    end: str | None = None
    """First moment not wanted any more, ISO, UTC."""
