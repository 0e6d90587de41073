"""Speed of getting bars in: REST over loopback, zipped archives to Parquet, and the governed plan of five years.

    python -m benchmarks.ingest

REST: the emulated exchange answers from a process of its own, over TLS; rows are checked, committed and sealed. The
peer is the same download through `fetch_ohlcv`. Archives: official format, checksums verified, against pandas doing the
same (sha256, read_csv of the zip, to_parquet). Plan: every request of 5 symbols x 5 years through the real client and
governor on the emulated exchange's own clock, answers empty, 120 ms each.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import trustme

from data_pipeline.columns import ARCHIVE_COLUMNS
from data_pipeline.download.archive_files import bars_from_archive, inflate
from data_pipeline.download.committer import Committer
from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.governor import WeightGovernor
from data_pipeline.download.progress import Silent
from data_pipeline.download.rest import RestSource
from data_pipeline.download.run import download, read_pages
from data_pipeline.download.targets import Target, pages, rest_target
from data_pipeline.schema import BAR_SCHEMA, iso_time
from data_pipeline.store.layout import Series, month_label, split_by_month
from data_pipeline.store.parts import write_part
from data_pipeline.store.writer import open_store
from data_pipeline.venue import Venue
from tests.emulator.archive import ArchiveSite
from tests.emulator.bars import BarSource
from tests.emulator.core import ExchangeCore, Listing
from tests.emulator.network import REST_HOSTS, Network
from tests.emulator.server import serving
from tests.emulator.virtual_time import CoreSession, run_virtual

START = 1_609_459_200_000  # 2021-01-01
MINUTE = 60_000
DAY = 1440
UNLIMITED = 10**9
SPOT = Venue("binance", "spot")


class PlainSource(RestSource):
    """The same source through `fetch_ohlcv`, with pages as large as the raw endpoint's."""

    page_rows = 1000  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.endpoint = None
        del self.client.on_json_response  # ccxt parses for itself
        self.client.enableRateLimit = False


def _exchange(rows: int, pem: tuple[bytes, bytes], pipe: Any) -> None:
    source = BarSource(START, rows)
    _ = source.rows  # rendered before the clock runs
    core = ExchangeCore([Listing("BTC", "USDT", source)], clock=lambda: (source.stop_ms + MINUTE) / 1000)
    core.weight_limits = {"spot": UNLIMITED, "linear": UNLIMITED}

    async def main() -> None:
        async with serving(Network(authority=trustme.CA.from_pem(*pem)), core) as port:
            pipe.send(port)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


@contextmanager
def exchange(rows: int) -> Iterator[Network]:
    """An emulated exchange in its own process, without a weight limit."""
    network = Network()
    pem = (network.authority.cert_pem.bytes(), network.authority.private_key_pem.bytes())
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_exchange, args=(rows, pem, there))
    process.start()
    network.serve(here.recv(), *REST_HOSTS)
    try:
        yield network
    finally:
        here.send("stop")
        process.join(10)


def rest_seconds(kind: type[RestSource], network: Network, rows: int) -> float:
    """Wall time from the first page to the last sealed month."""

    async def main(folder: str) -> float:
        config = DownloadConfig(since=iso_time(START), source="rest", store=Path(folder))
        async with network.session() as session:
            with open_store(config.store) as (ledger, _):
                async with kind(SPOT, config, session) as rest:
                    rest.governor = WeightGovernor(UNLIMITED, share=1.0, in_flight=config.in_flight)
                    target = await rest_target(rest, ledger, "BTC/USDT", config)
                    report = Silent()
                    start = time.perf_counter()
                    async with Committer(ledger, report, rest.now_ms()) as committer:
                        await read_pages(rest, ledger, committer, [target], config.in_flight)
                        await committer.drained()
                        await committer.seal(target.series)
                    seconds = time.perf_counter() - start
                    assert committer.rows == rows, committer.rows
        return seconds

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(main(folder))


def make_mirror(folder: Path, months: int) -> int:
    """Monthly archives of one symbol with their checksums; returns the number of bars."""
    spans = split_by_month((START, START + months * 31 * DAY * MINUTE))[:months]
    site = ArchiveSite()
    for number, (start, stop) in enumerate(spans):
        entry = Listing("BTC", "USDT", BarSource(start, (stop - start) // MINUTE, seed=number, price=30_000.0))
        path = site.put_bars(entry, "1m", month_label(start), start, stop)
        for name in (path, f"{path}.CHECKSUM"):
            file = folder / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(site.files.pop(name))
    return (spans[-1][1] - START) // MINUTE


def zips_seconds(mirror: Path, until: int) -> float:
    """The downloader on the mirror: checksum, unzip, parse, validate, Parquet, fsync, ledger."""
    with tempfile.TemporaryDirectory() as folder:
        config = DownloadConfig(
            since=iso_time(START),
            until=iso_time(until),
            source="archive",
            archive_url=str(mirror),
            store=Path(folder),
        )
        start = time.perf_counter()
        outcome = asyncio.run(download(config))
        assert outcome.rows == (until - START) // MINUTE
        return time.perf_counter() - start


def pandas_seconds(mirror: Path) -> float:
    """pandas doing the same, the plain way: checksum, read_csv of the zip, to_parquet."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for path in sorted(mirror.rglob("*.zip")):
            expected = path.with_name(path.name + ".CHECKSUM").read_text().split()[0]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == expected
            frame = pd.read_csv(path, header=None, names=ARCHIVE_COLUMNS)
            frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
            assert frame["open_time"].is_monotonic_increasing
            frame[BAR_SCHEMA.names].to_parquet(Path(folder) / f"{path.stem}.parquet", index=False)
        return time.perf_counter() - start


def bound_seconds(mirror: Path) -> tuple[float, float, float]:
    """CPU seconds of all files' unzip, parse with checks, and Parquet write, on one core."""
    unzipped = parsed = written = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(mirror.rglob("*.zip")):
            content, start = path.read_bytes(), START
            moments = [time.process_time()]
            for _ in inflate(content, path.name):
                pass
            moments.append(time.process_time())
            table = bars_from_archive(content, path.name, (0, 1 << 45), MINUTE)
            moments.append(time.process_time())
            write_part(Path(folder), Series("v", path.stem), (start, start), table, "archive")
            moments.append(time.process_time())
            unzipped += moments[1] - moments[0]
            parsed += (moments[2] - moments[1]) - (moments[1] - moments[0])
            written += moments[3] - moments[2]
    return unzipped, parsed, written


def governed(symbols: int = 5, years: int = 5) -> tuple[float, int, int]:
    """(minutes of exchange time, answers 429 or 418, peak weight in a minute) of the whole plan at 80 %."""
    bars = years * 365 * DAY
    stop = START + bars * MINUTE

    async def main() -> tuple[float, int, int]:
        loop = asyncio.get_running_loop()
        names = [f"C{number}" for number in range(symbols)]
        # the listings' own bars lie before the range: every answer is an empty list, its weight is real
        listings = [Listing(name, "USDT", BarSource(START - 10 * MINUTE, 10)) for name in names]
        core = ExchangeCore(listings, clock=lambda: stop / 1000 + 17.0 + loop.time())
        config = DownloadConfig(symbols=tuple(f"{name}/USDT" for name in names), since=iso_time(START))
        async with RestSource(SPOT, config, CoreSession(core, 0.12)) as rest:  # type: ignore[arg-type]
            targets = []
            for symbol in config.symbols:
                market = rest.market(symbol, "1m")
                targets.append(Target(market.series, market, (START, stop), None, None))
            with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as (ledger, _):
                queue = pages(targets, ledger, {target.series: rest.page_rows * MINUTE for target in targets})
            began = loop.time()

            async def work() -> None:
                while queue:
                    target, span = queue.popleft()
                    assert target.market is not None
                    await rest.read(target.market, span)

            await asyncio.gather(*(work() for _ in range(config.in_flight)))
            refused = core.statuses.get(429, 0) + core.statuses.get(418, 0)
            return (loop.time() - began) / 60, refused, core.peak_weight["spot"]

    return run_virtual(main())


def main() -> int:
    """Run, print each figure with its peer, and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="bars of the REST benchmark")
    parser.add_argument("--months", type=int, default=60, help="archives of the zip benchmark")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds; medians count")
    args = parser.parse_args()
    result: dict[str, float] = {}

    with exchange(args.rows) as network:
        rest_seconds(RestSource, network, args.rows)  # warm-up: imports, certificates
        raw, plain = [], []
        for _ in range(args.rounds):
            raw.append(rest_seconds(RestSource, network, args.rows))
            plain.append(rest_seconds(PlainSource, network, args.rows))
    result["rest_rows_per_s"] = args.rows / statistics.median(raw)
    result["rest_vs_fetch_ohlcv"] = statistics.median(b / a for a, b in zip(raw, plain, strict=True))
    print(f"REST: {result['rest_rows_per_s']:,.0f} rows/s; by fetch_ohlcv {args.rows / statistics.median(plain):,.0f}")

    with tempfile.TemporaryDirectory() as folder:
        rows = make_mirror(Path(folder), args.months)
        until = START + rows * MINUTE
        zips_seconds(Path(folder), until)
        ours, theirs = [], []
        for _ in range(args.rounds):
            ours.append(zips_seconds(Path(folder), until))
            theirs.append(pandas_seconds(Path(folder)))
        unzipped, parsed, written = bound_seconds(Path(folder))
    result["zips_vs_pandas"] = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    print(
        f"{args.months} zips, {rows:,} bars: {statistics.median(ours):.2f} s, pandas {statistics.median(theirs):.2f} s"
    )
    print(f"  bound on one core: unzip {unzipped:.2f} + parse {parsed:.2f} + write {written:.2f} s of CPU")

    minutes, refused, peak = governed()
    result["governed_minutes"], result["governed_429"] = minutes, refused
    print(
        f"plan of 5 symbols x 5 years at 80 %: {minutes:.2f} minutes, {refused} refusals, peak {peak} of 6000 a minute"
    )
    print("RESULT " + json.dumps({name: round(value, 3) for name, value in result.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
