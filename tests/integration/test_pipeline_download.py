"""Downloads that go well, from four venues and from the archive, and inputs that cannot be served."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from rich.console import Console

from data_pipeline.download.config import DownloadConfig
from data_pipeline.download.progress import live_report
from data_pipeline.download.run import download
from data_pipeline.errors import InputError
from data_pipeline.quality import quality_report
from data_pipeline.readers import read_bars
from data_pipeline.schema import BAR_SCHEMA, DAY_MS, iso_time
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.check import check_store
from data_pipeline.store.instruments import snapshots
from data_pipeline.store.ledger import Ledger
from data_pipeline.store.trades import read_trades
from scripts import check_data
from tests.emulator.bars import BarSource
from tests.emulator.binance import agg_trade
from tests.emulator.core import Listing
from tests.emulator.faults import Fault
from tests.emulator.lab import FEBRUARY, HOUR, JANUARY, MARCH, Lab, hourly
from tests.emulator.other_venues import KRAKEN_BARS

HOURS = 24 * 40
FULL = {"binance": set(), "bybit": set(BAR_SCHEMA.names[7:]), "okx": set(BAR_SCHEMA.names[7:])}


def lab_of(tmp_path: Path, *listings: Listing) -> Lab:
    return Lab(tmp_path / "store", list(listings), max(entry.source.stop_ms for entry in listings) + HOUR)


def stored(lab: Lab, symbol: str = "BTC/USDT"):
    with BarStore(lab.store, interval="1h") as store:
        return store.read(symbol).replace_schema_metadata(None).combine_chunks()


@pytest.mark.parametrize("exchange", ["binance", "bybit", "okx"])
@pytest.mark.parametrize("contract", ["spot", "linear"])
def test_each_venue_gives_all_columns_that_it_has(tmp_path: Path, exchange: str, contract: str) -> None:
    lab = lab_of(tmp_path, hourly(hours=HOURS, contract=contract, missing=frozenset({77, 78, 300})))
    symbol = "BTC/USDT" if contract == "spot" else "BTC/USDT:USDT"
    outcome = lab.download(exchange=exchange, symbols=(symbol,))
    truth = lab.listings[0].source.table()
    table = stored(lab, symbol)
    for name in BAR_SCHEMA.names:
        if name in FULL[exchange]:
            assert table[name].null_count == len(table)
        else:
            assert table[name].equals(truth[name]), name
    assert (outcome.rows, outcome.missing, outcome.refusals) == (HOURS - 3, 3, 0)
    assert lab.network.refused == []
    ledger = Ledger(lab.store, write=False)
    taken = snapshots(ledger, f"{exchange}_{contract}", symbol)
    ledger.close()
    assert [(entry.instrument.tick_size, entry.instrument.lot_step) for entry in taken] == [(0.01, 0.001)]


@pytest.fixture
def _unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """ccxt's own throttle, on for venues without an entry of ours, would let a request pass every 1.2 seconds."""
    import data_pipeline.download.rest as rest

    open_client = rest.open_client
    monkeypatch.setattr(
        rest, "open_client", lambda *given, **options: open_client(*given, **{**options, "own_governor": True})
    )


@pytest.mark.usefixtures("_unthrottled")
def test_a_venue_without_a_raw_endpoint_gives_plain_bars(tmp_path: Path) -> None:
    thin = frozenset(range(342, 542, 2))  # a whole page in which every other hour had no trade
    lab = Lab(tmp_path / "store", [hourly(hours=HOURS + 48, missing=thin)], JANUARY + HOURS * HOUR + HOUR // 2)
    lab.faults.add(Fault("html", path="OHLC", after=1), Fault("truncated_json", path="OHLC", after=4))
    outcome = lab.download(exchange="kraken", since="2024-01-05")
    assert lab.faults.struck == ["html", "truncated_json"]
    served = JANUARY + (HOURS + 1 - KRAKEN_BARS - len(thin)) * HOUR  # the running bar is one of the newest 720
    # what the venue serves no more is told, and is no gap of the market
    assert lab.report.said == [f"kraken_spot BTCUSDT 1h has no bar before {iso_time(served)}"]
    assert outcome.missing == len(check_store(lab.store)[0].gaps) == len(thin)
    lab.now_ms += 24 * HOUR  # the window moves on; what is stored stays
    assert lab.download(exchange="kraken", since="2024-01-05").rows == 24
    table, truth = stored(lab), lab.listings[0].source.table(served, JANUARY + (HOURS + 24) * HOUR)
    plain = BAR_SCHEMA.names[:6]
    assert table.select(plain).equals(truth.select(plain).combine_chunks())
    assert all(table[name].null_count == len(table) for name in BAR_SCHEMA.names[6:])


def test_a_second_run_asks_for_no_bar_that_is_stored(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=HOURS), hourly("ETH", hours=HOURS))
    assert lab.download(symbols=("BTC/USDT", "ETH/USDT")).rows == 2 * HOURS
    asked = len(lab.core.requests)
    assert lab.download(symbols=("BTC/USDT", "ETH/USDT")).rows == 0
    pages = [query for _, _, query in lab.core.requests[asked:] if int(query.get("limit", 0)) > 1]
    assert pages == []
    assert stored(lab, "ETH/USDT").equals(lab.listings[1].source.table().combine_chunks())


def test_a_gap_needs_agreeing_readings_and_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = lab_of(tmp_path, hourly(hours=HOURS, missing=frozenset({77, 78})))
    lab.download(agreeing_reads=4)
    first_page = [q for _, _, q in lab.core.requests if q.get("startTime") == str(JANUARY) and q.get("limit") == "200"]
    assert len(first_page) == 4
    assert check_data.main(check_data.Args(store=lab.store)) == 0
    assert "gap: 2024-01-04T05:00:00Z to 2024-01-04T07:00:00Z (rest x4)" in capsys.readouterr().out


def test_a_month_of_the_archive_is_completed_by_rest(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 70, missing=frozenset({700})))
    lacking = Listing(
        "BTC",
        "USDT",
        BarSource(JANUARY, 24 * 70, HOUR, seed=lab.listings[0].source.seed, missing=frozenset({5, 6, 700})),
    )
    lab.archive.put_bars(lacking, "1h", "2024-01", JANUARY, FEBRUARY, microseconds=True)
    lab.archive.put_bars(lab.listings[0], "1h", "2024-02", FEBRUARY, MARCH, header=True)
    assert lab.download(source="auto").missing == 1
    assert stored(lab).equals(lab.listings[0].source.table().combine_chunks())
    assert [gap.evidence for gap in check_store(lab.store)[0].gaps] == ["archive + rest x3"]


def test_without_rest_a_gap_stays_unconfirmed_until_it_can_be_asked(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 60, missing=frozenset({700})))
    lacking = Listing(
        "BTC", "USDT", BarSource(JANUARY, 24 * 60, HOUR, seed=lab.listings[0].source.seed, missing=frozenset({5, 700}))
    )
    lab.archive.put_bars(lacking, "1h", "2024-01", JANUARY, FEBRUARY)
    lab.download(source="archive", until="2024-02-01")
    assert [gap.confirmed for gap in check_store(lab.store)[0].gaps] == [False, False]
    assert all(host == "data.binance.vision" for host, _, _ in lab.core.requests)
    lab.download(source="auto", until="2024-02-01")
    assert [(gap.start_ms, gap.confirmed) for gap in check_store(lab.store)[0].gaps] == [(JANUARY + 700 * HOUR, True)]
    assert stored(lab).equals(lab.listings[0].source.table(JANUARY, FEBRUARY).combine_chunks())


def test_gaps_that_rest_told_of_are_held_against_the_archive_once_it_is_there(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 40, missing=frozenset({5, 6, 7, 700})))
    lab.download(source="auto", until="2024-02-01")
    assert [gap.evidence for gap in check_store(lab.store)[0].gaps] == ["rest x3", "rest x3"]
    source = BarSource(JANUARY, 24 * 40, HOUR, seed=lab.listings[0].source.seed, missing=frozenset({6, 700}))
    path = lab.archive.put_bars(Listing("BTC", "USDT", source), "1h", "2024-01", JANUARY, FEBRUARY)
    assert lab.download(source="auto", until="2024-02-01").rows == 2
    assert stored(lab).equals(source.table(JANUARY, FEBRUARY).combine_chunks())
    gaps = check_store(lab.store)[0].gaps
    assert [(gap.start_ms, gap.stop_ms, gap.evidence, gap.confirmed) for gap in gaps] == [
        (JANUARY + row * HOUR, JANUARY + (row + 1) * HOUR, "rest x3 + archive", True) for row in (6, 700)
    ]
    asked = lab.archive.requests.count(path)
    assert lab.download(source="auto", until="2024-02-01").rows == 0
    assert lab.archive.requests.count(path) == asked == 1


def test_an_archive_that_lacks_the_same_bars_confirms_what_rest_told(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 40, missing=frozenset({5, 700})))
    lab.download(source="rest", until="2024-02-01")
    lab.archive.put_bars(lab.listings[0], "1h", "2024-01", JANUARY, FEBRUARY)
    part = lab.store / "bars/venue=binance_spot/symbol=BTCUSDT/interval=1h/month=2024-01/part.parquet"
    before = part.stat().st_mtime_ns
    lab.download(source="archive", until="2024-02-01")
    assert [gap.evidence for gap in check_store(lab.store)[0].gaps] == ["rest x3 + archive"] * 2
    assert part.stat().st_mtime_ns == before


def test_days_are_used_where_there_is_no_month(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 40))
    lab.archive.put_bars(lab.listings[0], "1h", "2024-01", JANUARY, FEBRUARY)
    for day in ("2024-02-01", "2024-02-02"):
        start = FEBRUARY + (int(day[-2:]) - 1) * DAY_MS
        lab.archive.put_bars(lab.listings[0], "1h", day, start, start + DAY_MS)
    outcome = lab.download(source="archive", until="2024-02-04")
    assert [url[-14:] for url in outcome.unavailable] == ["2024-02-03.zip"]
    assert stored(lab).equals(lab.listings[0].source.table(JANUARY, FEBRUARY + 2 * DAY_MS).combine_chunks())


def test_a_re_issued_month_is_noticed_and_replaced(tmp_path: Path) -> None:
    wrong = Listing("BTC", "USDT", BarSource(JANUARY, 24 * 40, HOUR, seed=99))
    lab = lab_of(tmp_path, hourly(hours=24 * 40))
    path = lab.archive.put_bars(wrong, "1h", "2024-01", JANUARY, FEBRUARY)
    lab.download(source="auto")
    lab.archive.put_bars(lab.listings[0], "1h", "2024-01", JANUARY, FEBRUARY)
    assert lab.download(source="auto").reissued == [f"https://data.binance.vision{path}"]
    assert stored(lab).equals(lab.listings[0].source.table().combine_chunks())
    assert lab.download(source="auto").reissued == []


def test_a_file_that_belies_its_checksum_is_never_stored(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 40))
    path = lab.archive.put_bars(lab.listings[0], "1h", "2024-01", JANUARY, FEBRUARY)
    lab.archive.failures[path] = [503, 500]
    whole = lab.archive.files[path]
    lab.archive.files[path] = whole[:-100]
    with pytest.raises(InputError, match=r"2024-01\.zip.*CHECKSUM file says"):
        lab.download(source="auto", attempts=4)
    lab.archive.files[path] = whole
    lab.download(source="auto")
    assert stored(lab).equals(lab.listings[0].source.table().combine_chunks())


def test_a_mirror_in_a_folder_serves_as_well(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 31))
    lab.archive.put_bars(lab.listings[0], "1h", "2024-01", JANUARY, FEBRUARY)
    for name, content in lab.archive.files.items():
        file = tmp_path / "mirror" / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    lab.download(source="archive", until="2024-02-01", archive_url=str(tmp_path / "mirror"))
    assert stored(lab).equals(lab.listings[0].source.table().combine_chunks())


def put_trades(lab: Lab, day: int, count: int, *, header: bool = False) -> None:
    """Publish the first `count` trades of a day of January."""
    first = (day - 1) * 172_800  # one every half second
    trades = [agg_trade(lab.listings[0], number) for number in range(first, first + count)]
    rows = [f"{t['a']},{t['p']},{t['q']},{t['f']},{t['l']},{t['T']}{'' if header else '000'},{t['m']}" for t in trades]
    lab.archive.put_trades(lab.listings[0], f"2024-01-{day:02d}", rows, header=header)


@pytest.mark.parametrize("header", [False, True])
def test_trades_come_from_the_archive_by_day(tmp_path: Path, header: bool) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 31))
    for day in (1, 2):
        put_trades(lab, day, 500, header=header)
    outcome = lab.download(data="trades", source="archive", until="2024-01-04")
    assert outcome.rows == 1000
    assert [url[-14:] for url in outcome.unavailable] == ["2024-01-03.zip"]
    table = read_trades(lab.store, "binance_spot", "BTCUSDT", "2024-01-02")
    assert table["agg_id"].to_pylist() == list(range(172_800, 173_300))
    assert table["buyer_is_maker"][0].as_py() is True
    assert lab.download(data="trades", source="archive", until="2024-01-04").rows == 0


def test_a_re_issued_day_of_trades_is_noticed_and_replaced(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 31))
    wanted = {"data": "trades", "source": "archive", "until": "2024-01-03"}
    put_trades(lab, 1, 500)
    put_trades(lab, 2, 400)
    lab.download(**wanted)
    put_trades(lab, 2, 600)
    outcome = lab.download(**wanted)
    assert [url[-14:] for url in outcome.reissued] == ["2024-01-02.zip"]
    assert outcome.rows == 200
    assert read_trades(lab.store, "binance_spot", "BTCUSDT", "2024-01-02").num_rows == 600
    assert read_trades(lab.store, "binance_spot", "BTCUSDT", end="2024-01-02").num_rows == 500
    again = lab.download(**wanted)
    assert (again.reissued, again.rows, again.recovery.quarantined) == ([], 0, [])


def test_a_re_issue_that_was_cut_short_is_made_good_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(tmp_path, hourly(hours=24 * 31))
    wanted = {"data": "trades", "source": "archive", "until": "2024-01-02"}
    put_trades(lab, 1, 400)
    lab.download(**wanted)
    put_trades(lab, 1, 600)
    with monkeypatch.context() as patch:  # the new file is in place, and the ledger never hears of it
        patch.setattr(Ledger, "renew_part", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lab.download(**wanted)
    with pytest.raises(InputError, match="not what was sealed"):
        read_trades(lab.store, "binance_spot", "BTCUSDT")
    assert len(lab.download(**wanted).recovery.quarantined) == 1
    assert read_trades(lab.store, "binance_spot", "BTCUSDT").num_rows == 600


def test_the_display_shows_rows_gaps_and_time_left(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, hourly(hours=400, missing=frozenset({9})))
    console = Console(record=True, width=150, force_terminal=True)
    with live_report(console) as lab.report:  # type: ignore[assignment]
        lab.download()
    text = console.export_text()
    assert "binance_spot BTCUSDT 1h" in text
    assert "400/400 rows" in text
    assert "1 missing" in text


BAD = [
    ({"exchange": "binanse"}, "exchange 'binanse' is unknown; did you mean binance"),
    ({"symbols": ("BTC/USDC",)}, r"symbol 'BTC/USDC' is unknown at binance_spot; did you mean BTC/USDT"),
    ({"symbols": ("BTCUSDT",)}, "write BTC/USDT for spot"),
    ({"symbols": ("BTC/USDT", "ETH/USDT:USDT")}, "mix spot and perpetual"),
    ({"since": "2030-01-01"}, "has no closed bar yet"),
    ({"since": "yesterday"}, "since 'yesterday' is not an ISO date"),
    ({"until": "2023-01-01"}, "is not after since"),
    (
        {"symbols": ("MATIC/USDT",), "since": "2024-01-20"},
        "MATIC/USDT was delisted before the range: its last bar ended 2024-01-05",
    ),
    ({"until": "2024-01-01T12:00", "since": "2023-12-01", "symbols": ("LATE/USDT",)}, "was listed after the range"),
    ({"exchange": "kraken", "source": "archive"}, "no archive of kraken is known"),
    ({"source": "archive", "symbols": ("XYZ/USDT",), "until": "2024-02-01"}, "the archive has no 1h bars of XYZ/USDT"),
    ({"interval": "7m"}, "interval '7m' is unknown"),
    ({"data": "trades"}, "trades come from the archive only"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_input_is_told_in_one_line(tmp_path: Path, changes: dict, message: str) -> None:
    matic = hourly("MATIC", hours=24 * 4 + 5, active=False)
    late = Listing("LATE", "USDT", BarSource(JANUARY + 48 * HOUR, 100, HOUR))
    lab = Lab(tmp_path / "store", [hourly(hours=HOURS), matic, late], JANUARY + HOURS * HOUR + HOUR)
    with pytest.raises(InputError, match=message) as caught:
        lab.download(**changes)
    assert "\n" not in str(caught.value)


def test_a_market_that_ended_is_fetched_to_its_last_bar(tmp_path: Path) -> None:
    matic = hourly("MATIC", hours=24 * 33, active=False)
    lab = Lab(tmp_path / "store", [matic, hourly("POL", hours=24 * 60)], JANUARY + 24 * 60 * HOUR)
    lab.download(symbols=("MATIC/USDT",))
    assert stored(lab, "MATIC/USDT").equals(matic.source.table().combine_chunks())
    assert check_store(lab.store)[0].gaps == []


@pytest.mark.skipif("SCALPING_REAL_DATA" not in os.environ, reason="needs the recorded market data")
def test_an_official_archive_becomes_the_bars_that_are_known(tmp_path: Path) -> None:
    import hashlib

    data = Path(os.environ["SCALPING_REAL_DATA"])
    content = (data / "raw/BTCUSDT-1m-2026-03.zip").read_bytes()
    folder = tmp_path / "mirror/data/spot/monthly/klines/BTCUSDT/1m"
    folder.mkdir(parents=True)
    (folder / "BTCUSDT-1m-2026-03.zip").write_bytes(content)
    (folder / "BTCUSDT-1m-2026-03.zip.CHECKSUM").write_text(hashlib.sha256(content).hexdigest() + "  x.zip\n")
    config = DownloadConfig(
        since="2026-03-01",
        until="2026-04-01",
        source="archive",
        archive_url=str(tmp_path / "mirror"),
        store=tmp_path / "s",
    )
    assert asyncio.run(download(config)).rows == 31 * 1440
    known = read_bars(data / "klines/binance_spot_BTCUSDT_1m_2026-03_04.parquet", end="2026-04-01")
    with BarStore(tmp_path / "s") as store:
        table = store.read("BTC/USDT")
    assert table.replace_schema_metadata(None).equals(known.replace_schema_metadata(None))


@pytest.mark.skipif("SCALPING_REAL_DATA" not in os.environ, reason="needs the recorded market data")
def test_the_quality_report_finds_what_is_known_of_the_real_bars() -> None:
    folder = Path(os.environ["SCALPING_REAL_DATA"]) / "klines"
    clean = quality_report(read_bars(folder / "binance_spot_BTCUSDT_1m_2026-03_04.parquet"))
    assert clean.rows == 87_840
    assert (
        clean.finding("gap").bars == clean.finding("taker_above_volume").bars == clean.finding("vwap_outside").bars == 0
    )
    outages = quality_report(read_bars(folder / "binance_spot_BTCUSDT_1m_2021-04_05.parquet"))
    assert {int(bars) for bars in outages.finding("gap").spans[:, 2]} >= {150, 284}
