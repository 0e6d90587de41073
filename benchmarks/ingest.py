"""Speed of getting bars in: REST over loopback, zipped archives to Parquet, and the governed plan of five years.

    python -m benchmarks.ingest

REST: the emulated exchange answers from a process of its own, over TLS; rows are checked, committed to SQLite and
sealed as Parquet, ten columns. The peer is the same download through the same client's `fetch_ohlcv`, page for page,
which has six columns to store. Archives: official format, checksums verified, every part synced to the disk and
hashed. The peer is pandas doing less (sha256, read_csv of the zip, to_parquet), once as it comes and once at its best:
pyarrow's parser, no dictionaries. Plan: every request of 5 symbols x 5 years through the real client and governor on
the emulated exchange's own clock, answers empty, 120 ms each. Wall-clock ratios are medians over rounds that take
turns; CPU seconds stand beside them, because on a busy machine only those can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
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
from data_pipeline.store.layout import Series, month_label, month_span, split_by_month, to_ms
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
PANDAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pandas": ({}, {}),
    "pandas tuned": ({"engine": "pyarrow"}, {"use_dictionary": False}),
}
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
            while await asyncio.to_thread(pipe.recv) == "cpu":
                pipe.send(time.process_time())

    asyncio.run(main())


@dataclass(frozen=True)
class Spent:
    """What a piece of work took: seconds on the wall, of this process's CPU, and of the exchange's."""

    wall: float
    cpu: float
    exchange: float = 0.0

    @staticmethod
    def median(several: list[Spent]) -> Spent:
        """Each figure's own median."""
        return Spent(*(statistics.median(values) for values in zip(*map(astuple, several), strict=True)))


@contextmanager
def exchange(rows: int) -> Iterator[tuple[Network, Callable[[], float]]]:
    """An emulated exchange in its own process, without a weight limit; the call tells its CPU seconds so far."""
    network = Network()
    pem = (network.authority.cert_pem.bytes(), network.authority.private_key_pem.bytes())
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_exchange, args=(rows, pem, there))
    process.start()
    network.serve(here.recv(), *REST_HOSTS)

    def cpu() -> float:
        here.send("cpu")
        return float(here.recv())

    try:
        yield network, cpu
    finally:
        here.send("stop")
        process.join(10)


def rest_seconds(kind: type[RestSource], network: Network, exchange_cpu: Callable[[], float], rows: int) -> Spent:
    """From the first page to the last sealed month."""

    async def main(folder: str) -> Spent:
        config = DownloadConfig(since=iso_time(START), source="rest", store=Path(folder))
        async with network.session() as session:
            with open_store(config.store) as (ledger, _):
                async with kind(SPOT, config, session) as rest:
                    rest.governor = WeightGovernor(UNLIMITED, share=1.0, in_flight=config.in_flight)
                    target = await rest_target(rest, ledger, "BTC/USDT", config)
                    report = Silent()
                    served, cpu, start = exchange_cpu(), time.process_time(), time.perf_counter()
                    async with Committer(ledger, report, rest.now_ms()) as committer:
                        await read_pages(rest, ledger, committer, [target], config.in_flight)
                        await committer.drained()
                        await committer.seal(target.series)
                    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
                    assert committer.rows == rows, committer.rows
        return Spent(wall, cpu, exchange_cpu() - served)

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


def zips_seconds(mirror: Path, until: int) -> Spent:
    """The downloader on the mirror: checksum, unzip, parse, validate, Parquet, hash, fsync, ledger."""
    with tempfile.TemporaryDirectory() as folder:
        config = DownloadConfig(
            since=iso_time(START),
            until=iso_time(until),
            source="archive",
            archive_url=str(mirror),
            store=Path(folder),
        )
        cpu, start = time.process_time(), time.perf_counter()
        outcome = asyncio.run(download(config))
        assert outcome.rows == (until - START) // MINUTE
        return Spent(time.perf_counter() - start, time.process_time() - cpu)


def pandas_seconds(mirror: Path, reading: dict[str, Any], writing: dict[str, Any]) -> Spent:
    """pandas doing the same as far as it goes: checksum, read_csv of the zip, to_parquet."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, start = time.process_time(), time.perf_counter()
        for path in sorted(mirror.rglob("*.zip")):
            expected = path.with_name(path.name + ".CHECKSUM").read_text().split()[0]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == expected
            frame = pd.read_csv(path, header=None, names=ARCHIVE_COLUMNS, **reading)
            frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
            assert frame["open_time"].is_monotonic_increasing
            frame[BAR_SCHEMA.names].to_parquet(Path(folder) / f"{path.stem}.parquet", index=False, **writing)
        return Spent(time.perf_counter() - start, time.process_time() - cpu)


def bound_seconds(mirror: Path) -> dict[str, float]:
    """CPU seconds of all files' hash, unzip, parse with checks, and Parquet write, each alone, on one core."""
    spent = dict.fromkeys(("hash", "unzip", "parse", "write"), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(mirror.rglob("*.zip")):
            content, month = path.read_bytes(), month_span(to_ms(f"{path.stem[-7:]}-01", "month") or 0)
            moments = [time.process_time()]
            hashlib.sha256(content).hexdigest()
            moments.append(time.process_time())
            for _ in inflate(content, path.name):
                pass
            moments.append(time.process_time())
            table = bars_from_archive(content, path.name, month, MINUTE)
            moments.append(time.process_time())
            write_part(Path(folder), Series("v", "BTCUSDT"), month, table, "archive")
            moments.append(time.process_time())
            for name, (before, after) in zip(spent, itertools.pairwise(moments), strict=True):
                spent[name] += after - before
            spent["parse"] -= moments[2] - moments[1]  # it unzips once more
    return spent


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


def rest_figures(rows: int, rounds: int) -> dict[str, float]:
    """Print and return the figures of REST."""
    with exchange(rows) as (network, cpu):
        rest_seconds(RestSource, network, cpu, rows)  # warm-up: imports, compiled code, certificates
        raw, plain = [], []
        for _ in range(rounds):
            raw.append(rest_seconds(RestSource, network, cpu, rows))
            plain.append(rest_seconds(PlainSource, network, cpu, rows))
    for name, spent in (("REST", Spent.median(raw)), ("fetch_ohlcv", Spent.median(plain))):
        print(
            f"{name}: {rows / spent.wall:,.0f} rows/s; {1e6 * spent.cpu / rows:.2f} us of CPU a row,"
            f" the exchange's own {1e6 * spent.exchange / rows:.2f}"
        )
    return {
        "rest_rows_per_s": rows / Spent.median(raw).wall,
        "rest_vs_fetch_ohlcv": statistics.median(b.wall / a.wall for a, b in zip(raw, plain, strict=True)),
    }


def zip_figures(months: int, rounds: int) -> dict[str, float]:
    """Print and return the figures of archives."""
    with tempfile.TemporaryDirectory() as folder:
        mirror = Path(folder)
        rows = make_mirror(mirror, months)
        until = START + rows * MINUTE
        zips_seconds(mirror, until)
        ours: list[Spent] = []
        theirs: dict[str, list[Spent]] = {name: [] for name in PANDAS}
        for _ in range(rounds):
            ours.append(zips_seconds(mirror, until))
            for name, options in PANDAS.items():
                theirs[name].append(pandas_seconds(mirror, *options))
        bound = bound_seconds(mirror)
    print(f"{months} zips, {rows:,} bars:")
    for name, several in {"downloader": ours, **theirs}.items():
        spent = Spent.median(several)
        print(f"  {name}: {spent.wall:.2f} s, {spent.cpu:.2f} s of CPU")
    total = sum(bound.values())
    print(f"  bound: {' + '.join(f'{name} {cpu:.2f}' for name, cpu in bound.items())} = {total:.2f} s of CPU,")
    print(f"  {total / (os.cpu_count() or 1):.2f} s on {os.cpu_count()} cores")
    return {
        name.replace("pandas", "zips_vs_pandas").replace(" ", "_"): statistics.median(
            b.wall / a.wall for a, b in zip(ours, several, strict=True)
        )
        for name, several in theirs.items()
    }


def main() -> int:
    """Run, print each figure with its peer, and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="bars of the REST benchmark")
    parser.add_argument("--months", type=int, default=60, help="archives of the zip benchmark")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds; medians count")
    args = parser.parse_args()
    print(f"load average before the start: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    result = rest_figures(args.rows, args.rounds) | zip_figures(args.months, args.rounds)
    minutes, refused, peak = governed()
    result["governed_minutes"], result["governed_429"] = minutes, refused
    print(
        f"plan of 5 symbols x 5 years at 80 %: {minutes:.2f} minutes, {refused} refusals, peak {peak} of 6000 a minute"
    )
    print("RESULT " + json.dumps({name: round(value, 3) for name, value in result.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
