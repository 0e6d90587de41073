"""Sealing: one closed log segment becomes Parquet parts, a ledger entry, and then goes.

The order makes every crash harmless: parts (temporary file, fsync, rename, fsync of the folder), then the ledger in one
transaction, then the log is removed. A log that is still there is sealed again, into the same parts. Runs in its own
process (`python -m data_pipeline.recording.sealing LOG OUT`), so that recording does not wait for it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path, file_sha256
from data_pipeline.recording.aggregate import Bar, bar_table
from data_pipeline.recording.book import BookBuilder
from data_pipeline.recording.events import Depth, LogLine, Ticker, read_log
from data_pipeline.recording.ledger import Part, SealedSegment, commit_segment, is_sealed, open_ledger
from data_pipeline.recording.rotation import unsealed_logs
from data_pipeline.recording.state import BOOK_DEPTH, Finding, Step, StreamState
from data_pipeline.schema import BAR_SCHEMA

ROWS_AT_ONCE = 20_000
_TIMES = [("local_ts_ns", pa.int64()), ("event_time_ms", pa.int64())]
SCHEMAS: dict[str, pa.Schema] = {
    "events": pa.schema([*_TIMES, ("kind", pa.dictionary(pa.int32(), pa.string())), ("payload", pa.binary())]),
    "trades": pa.schema(
        [
            *_TIMES,
            ("trade_time_ms", pa.int64()),
            ("trade_id", pa.int64()),
            ("price", pa.float64()),
            ("qty", pa.float64()),
            ("buyer_is_maker", pa.bool_()),
            ("on_book", pa.bool_()),
            ("joined", pa.int32()),
            ("source", pa.dictionary(pa.int32(), pa.string())),
        ]
    ),
    "bbo": pa.schema(
        [
            *_TIMES,
            ("update_id", pa.int64()),
            *((name, pa.float64()) for name in ("bid_px", "bid_sz", "ask_px", "ask_sz")),
        ]
    ),
    "book": pa.schema(
        [
            *_TIMES,
            ("update_id", pa.int64()),
            ("complete", pa.bool_()),
            *(
                (f"{side}{level}_{what}", pa.float64())
                for side in ("bid", "ask")
                for level in range(1, BOOK_DEPTH + 1)
                for what in ("px", "sz")
            ),
        ]
    ),
    "bars": BAR_SCHEMA,
}


class PartWriter:
    """Rows of one kind and symbol on their way into one Parquet file, `ROWS_AT_ONCE` in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["kind", "source"])
        self._schema = schema
        self._rows: list[tuple] = []
        self.rows = 0
        self.first_ns = 0
        self.last_ns = 0

    def add(self, local_ns: int, row: tuple) -> None:
        """Add a row in the order of the schema."""
        self._count(local_ns, 1)
        self._rows.append(row)
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def add_bars(self, local_ns: int, bars: list[Bar]) -> None:
        """Add finished bars."""
        self._count(local_ns, len(bars))
        self._writer.write_table(bar_table(bars))

    def _count(self, local_ns: int, rows: int) -> None:
        if self.rows == 0:
            self.first_ns = local_ns
        self.rows += rows
        self.last_ns = local_ns

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def close(self) -> None:
        """Write what is left, and the footer."""
        if self._rows:
            self._flush()
        self._writer.close()


class _Parts:
    """The parts of one segment, opened as rows for them come."""

    def __init__(self, stack: ExitStack, out: Path, venue: str, segment: str) -> None:
        self._stack = stack
        self._out = out
        self._venue = venue
        self._segment = segment
        self._date = datetime.fromtimestamp(int(segment) / 1e9, tz=UTC).date()
        self.writers: dict[tuple[str, str], tuple[Path, PartWriter]] = {}

    def writer(self, kind: str, symbol: str = "") -> PartWriter:
        if (kind, symbol) not in self.writers:
            folder = self._out / f"venue={self._venue}" / f"kind={kind}"
            if symbol:
                folder /= f"symbol={symbol}"
            path = folder / f"date={self._date}" / f"{self._segment}.parquet"
            writer = PartWriter(self._stack.enter_context(atomic_path(path)), SCHEMAS[kind])
            self._stack.callback(writer.close)  # runs before the file is synced and renamed
            self.writers[kind, symbol] = (path, writer)
        return self.writers[kind, symbol][1]

    def add(self, line: LogLine, step: Step, state: StreamState) -> None:
        event, local_ns = step.event, line.local_ns
        event_time = getattr(event, "event_time_ms", None)
        kind = type(event).__name__.lower() if event is not None else "other"
        self.writer("events").add(local_ns, (local_ns, event_time, kind, line.text))
        for trade in step.trades:
            row = (trade.trade_time_ms, trade.trade_id, float(trade.price), float(trade.qty))
            flags = (trade.buyer_is_maker, trade.on_book, trade.joined, step.source)
            self.writer("trades", trade.symbol).add(local_ns, (local_ns, trade.event_time_ms, *row, *flags))
        if isinstance(event, Ticker):
            self.writer("bbo", event.symbol).add(local_ns, (local_ns, event_time, *event[2:]))
        elif isinstance(event, Depth) and step.book:
            row = book_row(state.books[event.symbol])
            self.writer("book", event.symbol).add(local_ns, (local_ns, event_time, *row))
        symbol = getattr(event, "symbol", None)
        if step.bars and symbol is not None:
            self.writer("bars", symbol).add_bars(local_ns, step.bars)


def book_row(book: BookBuilder) -> tuple:
    """(update id, complete, bid1_px, bid1_sz, ..., ask10_sz) of a live book; null past the end of a thin one.

    `complete` is False where a level may be unknown, because the price has left the span of the last snapshot.
    """
    sides = []
    for levels in book.levels(BOOK_DEPTH):
        flat: list[Any] = [value for level in levels for value in level]
        sides.append(flat + [None] * (2 * BOOK_DEPTH - len(flat)))
    return (book.last_id, book.covers(BOOK_DEPTH), *sides[0], *sides[1])


def seal_segment(log: Path, out: Path) -> SealedSegment:
    """Write the Parquet parts of one log under `out` and hash them. The same log gives the same parts.

    Raises InputError when the file does not begin with a segment record.
    """
    sealed = SealedSegment(log.stem)
    lines = read_log(log)
    first = next(lines, None)
    if first is None:
        sealed.torn_bytes = log.stat().st_size
        return sealed
    if first.message.get("recorder") != "segment":
        raise InputError("the log does not begin with a segment record", where=str(log), remedy="move it away")
    head = first.message
    refetching = head.get("refetching", False)  # a log of an earlier version does not say
    state = StreamState(head["contract"], snapshot_limit=head["snapshot_limit"], refetching=refetching)
    with ExitStack() as stack:
        parts = _Parts(stack, out, head["venue"], sealed.name)
        for line in _chain(first, lines):
            step = state.apply(line.message)
            parts.add(line, step, state)
            sealed.findings.extend((line.local_ns, finding) for finding in step.findings)
            sealed.lines += 1
            sealed.bytes = line.end
    sealed.venue = head["venue"]
    sealed.tapes = {symbol: tape.to_dict() for symbol, tape in state.tapes.items()}
    for (kind, symbol), (path, writer) in sorted(parts.writers.items()):
        digest = file_sha256(path)
        relative = str(path.relative_to(out))
        sealed.parts.append(Part(relative, kind, symbol, writer.rows, writer.first_ns, writer.last_ns, digest))
    sealed.torn_bytes = log.stat().st_size - sealed.bytes
    if sealed.torn_bytes:
        sealed.findings.append((line.local_ns, Finding("torn", None, f"{sealed.torn_bytes} bytes after the last line")))
    return sealed


def _chain(first: LogLine, rest: Any) -> Any:
    yield first
    yield from rest


def seal(log: Path, out: Path) -> SealedSegment | None:
    """Seal one log, enter it in the ledger and remove it; None when the ledger had it already.

    A log that holds more than a torn last line behind its last good one is kept, in `quarantine/`.
    """
    with open_ledger(out) as ledger:
        sealed = None
        if not is_sealed(ledger, log.stem):
            sealed = seal_segment(log, out)
            if sealed.torn_bytes and _more_than_a_tail(log, sealed.bytes):
                quarantine = out / "quarantine" / log.name
                with atomic_path(quarantine) as copy:
                    copy.write_bytes(log.read_bytes())
                finding = Finding("quarantined", None, f"{log.name}: a damaged line, not a torn end")
                sealed.findings.append((int(log.stem), finding))
            commit_segment(ledger, sealed)
    log.unlink(missing_ok=True)
    return sealed


def _more_than_a_tail(log: Path, good: int) -> bool:
    with log.open("rb") as file:
        file.seek(good)
        return b"\n" in file.read()


def recover(out: Path) -> list[SealedSegment]:
    """Seal every log that an earlier recorder left behind; the only recovery path. Returns what was sealed now."""
    return [sealed for log in unsealed_logs(out) if (sealed := seal(log, out)) is not None]


if __name__ == "__main__":
    seal(Path(sys.argv[1]), Path(sys.argv[2]))
