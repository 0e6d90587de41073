"""The ledger: what is stored, from where, with which gaps. SQLite in WAL mode, every commit synced to the disk.

A chunk is both the rows and their entry, so the two cannot part: one transaction writes them, with the gaps accepted
inside it. A sealed part replaces its month's chunks in one transaction too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data_pipeline.errors import InputError
from data_pipeline.store import codec
from data_pipeline.store.layout import LEDGER_FILE, TRADES, Series, Span, month_span

VERSION = 1
_SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, interval TEXT NOT NULL,
    first_ms INTEGER, last_ms INTEGER, UNIQUE (venue, symbol, interval));
CREATE TABLE chunk (
    series_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, stop_ms INTEGER NOT NULL, rows INTEGER NOT NULL,
    source TEXT NOT NULL, payload BLOB NOT NULL, UNIQUE (series_id, start_ms));
CREATE TABLE part (
    series_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, stop_ms INTEGER NOT NULL, path TEXT NOT NULL UNIQUE,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL,
    PRIMARY KEY (series_id, start_ms)) WITHOUT ROWID;
CREATE TABLE gap (
    series_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, stop_ms INTEGER NOT NULL, reads INTEGER NOT NULL,
    evidence TEXT NOT NULL, confirmed INTEGER NOT NULL, PRIMARY KEY (series_id, start_ms)) WITHOUT ROWID;
CREATE TABLE archive (
    series_id INTEGER NOT NULL, start_ms INTEGER NOT NULL, url TEXT NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (series_id, start_ms)) WITHOUT ROWID;
CREATE TABLE instrument (
    venue TEXT NOT NULL, symbol TEXT NOT NULL, taken_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
    market TEXT NOT NULL, contract TEXT NOT NULL, tick_size REAL NOT NULL, lot_step REAL NOT NULL,
    min_notional REAL NOT NULL, maker_fee_bps REAL NOT NULL, taker_fee_bps REAL NOT NULL, active INTEGER NOT NULL,
    PRIMARY KEY (venue, symbol, taken_ms)) WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that the exchange does not have: [start, stop), told by `reads` agreeing readings of `evidence`.

    `confirmed` is False while only one kind of source was asked (an archive without REST).
    """

    start_ms: int
    stop_ms: int
    reads: int
    evidence: str
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """Hot rows of one series covering [start, stop): every bar of it is in `table` or in a gap."""

    series: Series
    start_ms: int
    stop_ms: int
    table: pa.Table
    source: str
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed Parquet file of the lake: its path relative to the store, size and hash."""

    series: Series
    start_ms: int
    stop_ms: int
    path: str
    rows: int
    bytes: int
    sha256: str
    source: str


class Ledger:
    """One connection to the ledger. `write=False` opens it read-only and never waits for a writer."""

    def __init__(self, root: Path, *, write: bool) -> None:
        self.root = root
        path = root / LEDGER_FILE
        if not write and not path.exists():
            raise InputError("there is no store", where=str(root), remedy="run python -m scripts.download first")
        target = f"{path.resolve().as_uri()}?mode={'rwc' if write else 'ro'}"
        self.connection = sqlite3.connect(target, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            self._open(write)
        except BaseException:
            self.connection.close()
            raise

    def _open(self, write: bool) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if self.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'segments'").fetchone() is not None:
            raise InputError(
                "the folder holds a recording, not a store",
                where=str(self.root),
                remedy="use another folder; python -m scripts.check_data and read_recording know recordings",
            )
        if version > VERSION:
            raise InputError(
                f"the ledger is of version {version}, this program knows up to {VERSION}",
                where=str(self.root / LEDGER_FILE),
                remedy="update the program, or use another folder",
            )
        if write:
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=FULL")
            self.connection.execute("PRAGMA wal_autocheckpoint=4000")
            if version == 0:
                # one transaction: a ledger either has every table and its version, or is still to be made
                self.connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
        elif version == 0:
            raise InputError("the store is empty", where=str(self.root), remedy="run python -m scripts.download first")

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: commit at the end of the block, roll back when it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # a full disk has rolled back by itself
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read inside the block sees the same moment of the store."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    # -- series ------------------------------------------------------------------------------------------------------

    def series(self) -> list[Series]:
        """All series of the store, in order."""
        rows = self.connection.execute("SELECT venue, symbol, interval FROM series ORDER BY 1, 2, 3")
        return [Series(*row) for row in rows]

    def series_id(self, series: Series, *, create: bool = False) -> int | None:
        """The row id of a series; None when it is unknown and not to be created."""
        key = (series.venue, series.symbol, series.interval)
        if create:
            self.connection.execute("INSERT OR IGNORE INTO series (venue, symbol, interval) VALUES (?, ?, ?)", key)
        sql = "SELECT id FROM series WHERE venue = ? AND symbol = ? AND interval = ?"
        row = self.connection.execute(sql, key).fetchone()
        return None if row is None else int(row[0])

    def set_bounds(self, series: Series, first_ms: int | None, last_ms: int | None) -> None:
        """Remember the open of the first bar there ever was and, of a market that ended, the end of its last."""
        with self.transaction() as connection:
            key = self.series_id(series, create=True)
            connection.execute("UPDATE series SET first_ms = ?, last_ms = ? WHERE id = ?", (first_ms, last_ms, key))

    def bounds(self, series: Series) -> tuple[int | None, int | None]:
        """What `set_bounds` stored; (None, None) when unknown."""
        sql = "SELECT first_ms, last_ms FROM series WHERE id = ?"
        return self.connection.execute(sql, (self.series_id(series),)).fetchone() or (None, None)

    # -- rows --------------------------------------------------------------------------------------------------------

    def put_chunks(self, chunks: Iterable[Chunk]) -> None:
        """Store chunks with their gaps in one transaction.

        Raises ValueError for a chunk that overlaps what is stored or crosses a month: the caller's plan is wrong.
        """
        with self.transaction():
            for chunk in chunks:
                self._put(chunk)

    def _put(self, chunk: Chunk) -> None:
        start, stop = chunk.start_ms, chunk.stop_ms
        if not start < stop <= month_span(start)[1]:
            raise ValueError(f"chunk [{start}, {stop}) of {chunk.series} is empty or crosses a month")
        key = self.series_id(chunk.series, create=True)
        for name in ("chunk", "part"):
            sql = f"SELECT start_ms, stop_ms FROM {name} WHERE series_id = ? AND start_ms < ? AND stop_ms > ?"
            other = self.connection.execute(sql, (key, stop, start)).fetchone()
            if other is not None:
                raise ValueError(f"chunk [{start}, {stop}) of {chunk.series} overlaps the stored {name} {other}")
        self.connection.execute(
            "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?)",
            (key, start, stop, chunk.table.num_rows, chunk.source, codec.encode(chunk.table)),
        )
        self._put_gaps(key, chunk.gaps)

    def put_gaps(self, series: Series, gaps: Iterable[Gap]) -> None:
        """Enter gaps, or what is newly known about them, without rows."""
        with self.transaction():
            self._put_gaps(self.series_id(series, create=True), gaps)

    def _put_gaps(self, key: int | None, gaps: Iterable[Gap]) -> None:
        self.connection.executemany(
            "INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?)",
            [(key, gap.start_ms, gap.stop_ms, gap.reads, gap.evidence, gap.confirmed) for gap in gaps],
        )

    def put_part(self, part: Part, *, gaps: Iterable[Gap] = (), archive: tuple[str, str] | None = None) -> None:
        """Enter a part that already stands in the lake, with its gaps, and drop the hot rows that it holds.

        `archive`: URL and sha256 of the exchange's file that it was made from.
        """
        with self.transaction() as connection:
            key = self.series_id(part.series, create=True)
            span = (key, part.start_ms, part.stop_ms)
            connection.execute("DELETE FROM chunk WHERE series_id = ? AND start_ms >= ? AND stop_ms <= ?", span)
            self._enter(key, part, archive)
            self._put_gaps(key, gaps)

    def drop_part(self, part: Part, kind: str, detail: str, at_ms: int) -> None:
        """Forget a part, and what was known about its gaps, so that its span is fetched again; say why in the log."""
        with self.transaction():
            self._forget(part)
            self._log(kind, detail, at_ms)

    def swap_part(
        self, part: Part, rows: Chunk, detail: str, at_ms: int, archive: tuple[str, str] | None = None
    ) -> None:
        """Put hot `rows` in the place of a sealed part, in one transaction. The caller removes the file."""
        with self.transaction():
            self._forget(part)
            self._put(rows)
            self._put_archive(self.series_id(part.series), part.start_ms, archive)
            self._log("reopened", detail, at_ms)

    def renew_part(self, old: Part, new: Part, archive: tuple[str, str], detail: str, at_ms: int) -> None:
        """Enter `new`, which stands where `old` stood in the lake, in the place of `old`; say why in the log."""
        with self.transaction():
            self._forget(old)
            self._enter(self.series_id(new.series), new, archive)
            self._log("reissued", detail, at_ms)

    def _enter(self, key: int | None, part: Part, archive: tuple[str, str] | None) -> None:
        self.connection.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, part.start_ms, part.stop_ms, part.path, part.rows, part.bytes, part.sha256, part.source),
        )
        self._put_archive(key, part.start_ms, archive)

    def _put_archive(self, key: int | None, start_ms: int, archive: tuple[str, str] | None) -> None:
        if archive is not None:
            entry = (key, start_ms, *archive)
            self.connection.execute("INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?)", entry)

    def _forget(self, part: Part) -> None:
        span = (self.series_id(part.series), part.start_ms, part.stop_ms)
        self.connection.execute("DELETE FROM part WHERE series_id = ? AND start_ms = ? AND stop_ms = ?", span)
        self.connection.execute("DELETE FROM gap WHERE series_id = ? AND start_ms >= ? AND start_ms < ?", span)
        self.connection.execute("DELETE FROM archive WHERE series_id = ? AND start_ms = ?", span[:2])

    def chunks(self, series: Series, span: Span) -> list[tuple[int, int, bytes]]:
        """(start, stop, payload) of the hot chunks that touch `span`, in order of time."""
        sql = """SELECT start_ms, stop_ms, payload FROM chunk
                 WHERE series_id = ? AND start_ms < ? AND stop_ms > ? ORDER BY start_ms"""
        return self.connection.execute(sql, (self.series_id(series), span[1], span[0])).fetchall()

    def chunk_spans(self, series: Series) -> list[tuple[int, int, int, str]]:
        """(start, stop, rows, source) of every hot chunk, in order of time."""
        sql = "SELECT start_ms, stop_ms, rows, source FROM chunk WHERE series_id = ? ORDER BY start_ms"
        return self.connection.execute(sql, (self.series_id(series),)).fetchall()

    def parts(self, series: Series | None = None) -> list[Part]:
        """Sealed parts, of one series or of all, in order of series and time."""
        sql = """SELECT venue, symbol, interval, start_ms, stop_ms, path, rows, bytes, sha256, source
                 FROM part JOIN series ON series.id = series_id {} ORDER BY 1, 2, 3, 4"""
        if series is None:
            rows = self.connection.execute(sql.format(""))
        else:
            rows = self.connection.execute(sql.format("WHERE series_id = ?"), (self.series_id(series),))
        return [Part(Series(*row[:3]), *row[3:]) for row in rows]

    def coverage(self, series: Series) -> list[Span]:
        """Spans for which every bar is stored or known to be missing. Not merged."""
        sql = """SELECT start_ms, stop_ms FROM chunk WHERE series_id = :id
                 UNION ALL SELECT start_ms, stop_ms FROM part WHERE series_id = :id ORDER BY 1"""
        return self.connection.execute(sql, {"id": self.series_id(series)}).fetchall()

    def gaps(self, series: Series) -> list[Gap]:
        """Accepted gaps in order of time."""
        sql = "SELECT start_ms, stop_ms, reads, evidence, confirmed FROM gap WHERE series_id = ? ORDER BY 1"
        rows = self.connection.execute(sql, (self.series_id(series),))
        return [Gap(start, stop, reads, told, bool(sure)) for start, stop, reads, told, sure in rows]

    def archives(self, series: Series) -> dict[int, tuple[str, str]]:
        """Part start to (URL, sha256) of the exchange's file that the part was made from."""
        sql = "SELECT start_ms, url, sha256 FROM archive WHERE series_id = ?"
        rows = self.connection.execute(sql, (self.series_id(series),))
        return {start: (url, digest) for start, url, digest in rows}

    # -- log ---------------------------------------------------------------------------------------------------------

    def log(self, kind: str, detail: str, at_ms: int) -> None:
        """Write one line into the store's own log."""
        with self.transaction():
            self._log(kind, detail, at_ms)

    def _log(self, kind: str, detail: str, at_ms: int) -> None:
        self.connection.execute("INSERT INTO event (at_ms, kind, detail) VALUES (?, ?, ?)", (at_ms, kind, detail))

    def events(self) -> list[tuple[int, str, str]]:
        """(time, kind, detail) of everything logged, oldest first."""
        return self.connection.execute("SELECT at_ms, kind, detail FROM event ORDER BY id").fetchall()


def bar_series(ledger: Ledger) -> list[Series]:
    """The series of the store that hold bars."""
    return [series for series in ledger.series() if series.interval != TRADES]
