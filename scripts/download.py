"""Download bars or trades into the store; run it again to go on where it stopped.

Example:

    python -m scripts.download --exchange binance --symbols BTC/USDT ETH/USDT --since 2021-11-01 --interval 1m
"""

from __future__ import annotations

import asyncio
import logging
import sys

from data_pipeline.download.config import DownloadConfig
from scripts.cli import run


def main(args: DownloadConfig) -> int:
    """Run the download; 1 when files that were wanted are not to be had."""
    from data_pipeline.download.progress import live_report
    from data_pipeline.download.run import download

    logging.getLogger("stamina").setLevel(logging.ERROR)  # retries are counted below, not listed
    with live_report() as report:
        outcome = asyncio.run(download(args, report=report))
    print(
        f"{outcome.rows:,} rows stored, {outcome.missing:,} bars missing at the exchange, "
        f"{outcome.retried:,} answers asked for again, {outcome.refusals} refusals (429/418)"
    )
    for url in outcome.unavailable:
        print(f"not in the archive: {url}", file=sys.stderr)
    return 1 if outcome.unavailable else 0


def main_cli() -> int:
    """Entry point of `python -m scripts.download`."""
    return run(DownloadConfig, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
