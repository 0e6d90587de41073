"""Reading 30 days out of 5 years of minutes: the store, and pandas on a well-indexed SQLite table.

    python -m benchmarks.store

Both hold the same 2.6 million bars of ten columns; random 30-day ranges, the two in turn, medians compared.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipeline.schema import BAR_SCHEMA, DAY_MS
from data_pipeline.store.bar_store import BarStore
from data_pipeline.store.layout import Series, split_by_month
from data_pipeline.store.seal import seal_table
from data_pipeline.store.writer import open_store
from tests.emulator.bars import BarSource

START = 1_609_459_200_000
MINUTE = 60_000


def build(root: Path, years: int) -> int:
    """Fill a store and a SQLite table with the same bars; returns how many."""
    source = BarSource(START, years * 365 * 1440, price=30_000.0)
    table = source.table()
    series = Series("binance_spot", "BTCUSDT")
    with open_store(root / "store") as (ledger, _):
        for span in split_by_month((START, source.stop_ms)):
            first, stop = ((moment - START) // MINUTE for moment in span)
            seal_table(ledger, series, span, table.slice(first, stop - first), source="made")
    connection = sqlite3.connect(root / "bars.sqlite")
    names = ", ".join(BAR_SCHEMA.names[1:])
    connection.execute(f"CREATE TABLE bars (open_time INTEGER PRIMARY KEY, {names})")
    columns = [table[name].cast(pa.int64()) if name == "open_time" else table[name] for name in BAR_SCHEMA.names]
    marks = ", ".join("?" * len(columns))
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    connection.executemany(f"INSERT INTO bars VALUES ({marks})", rows)
    connection.commit()
    connection.close()
    return table.num_rows


def main() -> int:
    """Run, print both medians and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--reads", type=int, default=40)
    args = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = build(root, args.years)
        connection = sqlite3.connect(root / "bars.sqlite")
        query = "SELECT * FROM bars WHERE open_time >= ? AND open_time < ?"
        ours, theirs = [], []
        with BarStore(root / "store") as store:
            for _ in range(args.reads):
                start = START + int(random.integers(0, args.years * 365 - 30)) * DAY_MS
                stop = start + 30 * DAY_MS
                begin = time.perf_counter()
                table = store.read("BTC/USDT", start, stop)
                ours.append(time.perf_counter() - begin)
                begin = time.perf_counter()
                frame = pd.read_sql_query(query, connection, params=(start, stop))
                theirs.append(time.perf_counter() - begin)
                assert table.num_rows == len(frame) == 30 * 1440
        connection.close()
    # the first reading of a part checks its sha256; it is among the readings, and the median is over all of them
    ours_ms, theirs_ms = 1e3 * statistics.median(ours), 1e3 * statistics.median(theirs)
    print(f"30 days of {rows:,} bars: store {ours_ms:.1f} ms, pandas on SQLite {theirs_ms:.1f} ms")
    print("RESULT " + json.dumps({"read_vs_sqlite_pandas": round(theirs_ms / ours_ms, 2)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
