"""The ledger of a recording: which segments are sealed, into which parts, with which hash, and what went wrong."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from data_pipeline.errors import InputError
from data_pipeline.files import file_sha256
from data_pipeline.recording.state import Finding

VERSION = 2
LEDGER_NAME = "ledger.sqlite"
_SCHEMA = """
CREATE TABLE segments (name TEXT PRIMARY KEY, lines INTEGER, bytes INTEGER, torn_bytes INTEGER, sealed_ms INTEGER);
CREATE TABLE parts (path TEXT PRIMARY KEY, segment TEXT REFERENCES segments, kind TEXT, symbol TEXT, rows INTEGER,
                    first_ns INTEGER, last_ns INTEGER, sha256 TEXT);
CREATE TABLE findings (segment TEXT REFERENCES segments, local_ns INTEGER, what TEXT, symbol TEXT, detail TEXT);
"""
_SINCE_VERSION_2 = """
CREATE TABLE tapes (venue TEXT, symbol TEXT, start_ns INTEGER, state TEXT, PRIMARY KEY (venue, symbol));
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed Parquet file: `path` relative to the recording's folder, `symbol` empty for the raw events."""

    path: str
    kind: str
    symbol: str
    rows: int
    first_ns: int
    last_ns: int
    sha256: str

    @property
    def venue(self) -> str:
        """Such as binance_spot."""
        return Path(self.path).parts[0].partition("=")[2]

    @property
    def segment(self) -> str:
        """The log that it was made from."""
        return Path(self.path).stem


@dataclass(slots=True)
class SealedSegment:
    """What sealing one log gave. `torn_bytes`: what followed its last whole line."""

    name: str
    lines: int = 0
    bytes: int = 0
    torn_bytes: int = 0
    venue: str = ""
    tapes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each symbol's tape at the end of the log, from which the next recorder finds what happened while none ran."""
    parts: list[Part] = field(default_factory=list)
    findings: list[tuple[int, Finding]] = field(default_factory=list)


@contextmanager
def open_ledger(out: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of the recording in `out` for writing, made when missing.

    Raises InputError when it was written by a newer version or is no ledger.
    """
    path = out / LEDGER_NAME
    connection = sqlite3.connect(path, timeout=30)
    try:
        version = _version(connection, path, ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"))
        if version < VERSION:
            script = (_SCHEMA if version == 0 else "") + _SINCE_VERSION_2
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version={VERSION}; COMMIT;")
        yield connection
    finally:
        connection.close()


@contextmanager
def read_ledger(out: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of the recording in `out` for reading; a recorder may run meanwhile.

    Raises InputError when there is none, when it was written by a newer version and when it is none.
    """
    path = out / LEDGER_NAME
    if not is_recording(out):
        raise InputError("there is no recording", where=str(out), remedy="run python -m scripts.record first")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        _version(connection, path)
        yield connection
    finally:
        connection.close()


def is_recording(out: Path) -> bool:
    """Whether `out` holds a recording, and not a store of bars, whose ledger has the same name."""
    path = out / LEDGER_NAME
    if not path.is_file():
        return False
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'segments'").fetchone() is not None
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()


def _version(connection: sqlite3.Connection, path: Path, settings: tuple[str, ...] = ()) -> int:
    try:
        for setting in settings:
            connection.execute(setting)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"not a ledger: {error}", where=str(path), remedy="move it away, or give another --out"
        ) from error
    if version > VERSION:
        raise InputError(
            f"the ledger has version {version}, this program knows {VERSION}",
            where=str(path),
            remedy="update the program, or give another --out",
        )
    return version


def commit_segment(ledger: sqlite3.Connection, sealed: SealedSegment) -> None:
    """Enter a sealed segment with all its parts and findings, in one transaction; again is the same as once."""
    with ledger:
        ledger.execute("DELETE FROM parts WHERE segment = ?", (sealed.name,))
        ledger.execute("DELETE FROM findings WHERE segment = ?", (sealed.name,))
        ledger.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)",
            (sealed.name, sealed.lines, sealed.bytes, sealed.torn_bytes, time.time_ns() // 1_000_000),
        )
        ledger.executemany(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(p.path, sealed.name, p.kind, p.symbol, p.rows, p.first_ns, p.last_ns, p.sha256) for p in sealed.parts],
        )
        ledger.executemany(
            "INSERT INTO findings VALUES (?, ?, ?, ?, ?)",
            [(sealed.name, ns, finding.what, finding.symbol, finding.detail) for ns, finding in sealed.findings],
        )
        ledger.executemany(
            """INSERT INTO tapes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET start_ns = excluded.start_ns,
               state = excluded.state WHERE excluded.start_ns >= start_ns""",
            [
                (sealed.venue, symbol, int(sealed.name), orjson.dumps(state).decode())
                for symbol, state in sealed.tapes.items()
            ],
        )


def is_sealed(ledger: sqlite3.Connection, name: str) -> bool:
    """Whether the segment is in the ledger."""
    return ledger.execute("SELECT 1 FROM segments WHERE name = ?", (name,)).fetchone() is not None


def last_tapes(out: Path, venue: str) -> dict[str, dict[str, Any]]:
    """The tape of each symbol of `venue` as the newest sealed segment left it."""
    with open_ledger(out) as ledger:
        rows = ledger.execute("SELECT symbol, state FROM tapes WHERE venue = ?", (venue,)).fetchall()
    return {symbol: orjson.loads(state) for symbol, state in rows}


def forget_segment(ledger: sqlite3.Connection, name: str) -> None:
    """Take a segment out again, with its parts and findings, in one transaction: its log is sealed anew."""
    with ledger:
        for table, column in (("parts", "segment"), ("findings", "segment"), ("segments", "name")):
            ledger.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))


def drop_parts(ledger: sqlite3.Connection, parts: list[Part], finding: Finding, local_ns: int) -> None:
    """Forget parts of one segment that cannot be had again, and say so in its findings."""
    with ledger:
        ledger.executemany("DELETE FROM parts WHERE path = ?", [(part.path,) for part in parts])
        row = (parts[0].segment, local_ns, finding.what, finding.symbol, finding.detail)
        ledger.execute("INSERT INTO findings VALUES (?, ?, ?, ?, ?)", row)


def parts_of(ledger: sqlite3.Connection) -> list[Part]:
    """Every sealed part, in the order of time."""
    sql = "SELECT path, kind, symbol, rows, first_ns, last_ns, sha256 FROM parts ORDER BY first_ns, path"
    return [Part(*row) for row in ledger.execute(sql)]


def sealed_parts(out: Path, kind: str, symbol: str = "") -> list[Path]:
    """Paths of the sealed parts of one kind and symbol, in the order of time."""
    with read_ledger(out) as ledger:
        return [out / part.path for part in parts_of(ledger) if (part.kind, part.symbol) == (kind, symbol)]


def is_intact(out: Path, part: Part) -> bool:
    """Whether the part's file is there with the bytes that were sealed."""
    path = out / part.path
    return path.is_file() and file_sha256(path) == part.sha256


def altered_parts(out: Path) -> list[str]:
    """Sealed parts that are missing or whose bytes are not those that were sealed."""
    with read_ledger(out) as ledger:
        parts = parts_of(ledger)
    return sorted(part.path for part in parts if not is_intact(out, part))
