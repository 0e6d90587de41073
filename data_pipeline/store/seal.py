"""Closed months leave SQLite for the lake; sealed months come back when they have to be changed."""

from __future__ import annotations

import pyarrow as pa

from data_pipeline.schema import BAR_SCHEMA, validate_bars
from data_pipeline.store import codec
from data_pipeline.store.layout import Series, Span, merge, month_span, subtract
from data_pipeline.store.ledger import Chunk, Gap, Ledger, Part
from data_pipeline.store.parts import read_part, write_part


def months_to_seal(ledger: Ledger, series: Series, now_ms: int) -> list[Span]:
    """Closed months that hot chunks cover whole, from the market's first bar and to its last."""
    first, last = ledger.bounds(series)
    hot = ledger.chunk_spans(series)
    covered = merge([(start, stop) for start, stop, _, _ in hot])
    ready = []
    for month in sorted({month_span(start) for start, _, _, _ in hot}):
        needed = (max(month[0], first or month[0]), min(month[1], last or month[1]))
        if month[1] <= now_ms and not subtract(needed, covered):
            ready.append(month)
    return ready


def seal_month(ledger: Ledger, series: Series, month: Span) -> Part | None:
    """Write a month's hot rows as a part and enter it; None when the month holds no row at all.

    A month of nothing but gaps stays as hot entries: there is nothing to put into a file.
    """
    table = codec.join([payload for _, _, payload in ledger.chunks(series, month)])
    if table.num_rows == 0:
        return None
    table = table.combine_chunks()
    validate_bars(
        table, f"{series}, month from {month[0]}", interval_ms=series.interval_ms, now_ms=month[1], sparse=True
    )
    sources = {source for start, _, _, source in ledger.chunk_spans(series) if month[0] <= start < month[1]}
    part = write_part(ledger.root, series, month, table, "+".join(sorted(sources)))
    ledger.put_part(part)
    return part


def seal_table(
    ledger: Ledger,
    series: Series,
    span: Span,
    table: pa.Table,
    *,
    source: str,
    gaps: tuple[Gap, ...] = (),
    archive: tuple[str, str] | None = None,
) -> Part:
    """Seal rows that never were hot, such as a whole month from an archive."""
    part = write_part(ledger.root, series, span, table, source)
    ledger.put_part(part, gaps=gaps, archive=archive)
    return part


def reopen_month(
    ledger: Ledger, part: Part, rows: Chunk, why: str, at_ms: int, archive: tuple[str, str] | None = None
) -> None:
    """Replace a sealed month by hot rows in one transaction; the file goes afterwards, sealing comes later.

    A reader sees the old rows or the new ones, never both and never neither.
    """
    ledger.swap_part(part, rows, f"{part.path}: {why}", at_ms, archive)
    (ledger.root / part.path).unlink(missing_ok=True)


def part_rows(ledger: Ledger, part: Part) -> pa.Table:
    """All rows of a sealed month."""
    return read_part(ledger.root / part.path, (part.start_ms, part.stop_ms), BAR_SCHEMA.names)
