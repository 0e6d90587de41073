"""Instruments as the exchange listed them, snapshotted with the date: a row each time a rule changed."""

from __future__ import annotations

from dataclasses import dataclass

from data_pipeline.instruments import Instrument
from data_pipeline.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An instrument's rules: first seen so at `taken_ms`, last seen so at `seen_ms`. `market` is the venue's own id."""

    venue: str
    instrument: Instrument
    market: str
    active: bool
    taken_ms: int
    seen_ms: int


def put_instrument(ledger: Ledger, venue: str, instrument: Instrument, market: str, active: bool, at_ms: int) -> None:
    """Record the rules as they stand at `at_ms`; unchanged rules only move `seen_ms` of the last snapshot."""
    values = (
        market,
        instrument.contract,
        instrument.tick_size,
        instrument.lot_step,
        instrument.min_notional,
        instrument.maker_fee_bps,
        instrument.taker_fee_bps,
        int(active),
    )
    key = (venue, instrument.symbol)
    with ledger.transaction() as connection:
        last = connection.execute(
            """SELECT taken_ms, market, contract, tick_size, lot_step, min_notional, maker_fee_bps, taker_fee_bps,
                      active
               FROM instrument WHERE venue = ? AND symbol = ? ORDER BY taken_ms DESC LIMIT 1""",
            key,
        ).fetchone()
        if last is not None and last[1:] == values:
            sql = "UPDATE instrument SET seen_ms = max(seen_ms, ?) WHERE venue = ? AND symbol = ? AND taken_ms = ?"
            connection.execute(sql, (at_ms, *key, last[0]))
        else:
            sql = "INSERT OR REPLACE INTO instrument VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            connection.execute(sql, (*key, at_ms, at_ms, *values))


def snapshots(ledger: Ledger, venue: str, symbol: str) -> list[Snapshot]:
    """Every snapshot of one instrument, oldest first."""
    rows = ledger.connection.execute(
        """SELECT taken_ms, seen_ms, market, contract, tick_size, lot_step, min_notional, maker_fee_bps, taker_fee_bps,
                  active FROM instrument WHERE venue = ? AND symbol = ? ORDER BY taken_ms""",
        (venue, symbol),
    )
    found = []
    for taken, seen, market, contract, tick, lot, notional, maker, taker, active in rows:
        instrument = Instrument(symbol, tick, lot, notional, maker, taker, contract)
        found.append(Snapshot(venue, instrument, market, bool(active), taken, seen))
    return found
