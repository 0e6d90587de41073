"""What a log means: books, tapes and checks of every symbol as a function of its lines, live and in replay alike."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from data_pipeline.recording.aggregate import Bar
from data_pipeline.recording.book import BookBuilder, Outcome, Rules
from data_pipeline.recording.events import (
    Control,
    Depth,
    Event,
    MalformedEventError,
    Snapshot,
    Ticker,
    Trade,
    Trades,
    parse_event,
)
from data_pipeline.recording.tape import HELD_LIMIT, REORDER_LIMIT, TradeTape

BOOK_DEPTH = 10
FAULTS = (Outcome.GAP, Outcome.STALE, Outcome.CROSSED)
# USD-M's aggTrades joins trades of up to 100 ms, spot's those of one instant (Binance API documentation)
GROUP_SPREAD_MS: dict[Rules, int] = {"spot": 0, "linear": 100}


@dataclass(slots=True)
class Finding:
    """Something that a reader of the recording has to know: a gap, a stale snapshot, lost trades, ..."""

    what: str
    symbol: str | None
    detail: str


@dataclass(slots=True)
class Step:
    """What one line brought.

    `book`: the symbol's live book has changed. `trades`: those that had not come before, in the order of the line;
    `source` says where they came from: ws, or the REST endpoint.
    """

    event: Event | None
    book: bool = False
    trades: list[Trade] = field(default_factory=list)
    source: str = "ws"
    bars: list[Bar] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class TopCheck:
    """Compares the book's top with bookTicker, which the exchange computes on its own.

    bookTicker comes at every change of the best prices, so the last ticker with update id <= u tells the top at u. A
    top is compared once a later ticker shows that none at or before u is still to come.
    """

    def __init__(self) -> None:
        self.ticker: Ticker | None = None
        self.waiting: deque[tuple[int, tuple[float, float, float, float]]] = deque(maxlen=1000)
        self.compared = 0
        self.different = 0

    def reset(self) -> None:
        """Forget what waits: tickers may have been lost."""
        self.ticker = None
        self.waiting.clear()

    def on_book(self, update_id: int, top: tuple[float, float, float, float]) -> None:
        """Note the top after the update `update_id`."""
        if self.ticker is not None:
            self.waiting.append((update_id, top))

    def on_ticker(self, ticker: Ticker) -> int:
        """Take a ticker; returns how many tops turned out to differ."""
        if self.ticker is not None and ticker.update_id < self.ticker.update_id:
            return 0  # late or repeated
        different = 0
        while self.waiting and self.waiting[0][0] < ticker.update_id:
            update_id, top = self.waiting.popleft()
            if self.ticker is not None and self.ticker.update_id <= update_id:
                self.compared += 1
                different += top != self.ticker[3:]
        self.different += different
        self.ticker = ticker
        return different


class StreamState:
    """Every symbol's book, tape and check. `apply` takes the lines in order; the same lines give the same state.

    `refetching`: the log's recorder asks for missing trades by REST, so the trades behind a hole wait for its answer.
    """

    def __init__(self, rules: Rules, *, snapshot_limit: int = 1000, refetching: bool = False) -> None:
        self.rules = rules
        self.snapshot_limit = snapshot_limit
        self.refetching = refetching
        self.books: dict[str, BookBuilder] = {}
        self.tapes: dict[str, TradeTape] = {}
        self.checks: dict[str, TopCheck] = {}
        self.counts: Counter[str] = Counter()

    def book(self, symbol: str) -> BookBuilder:
        """The symbol's book, made at its first mention."""
        if symbol not in self.books:
            self.books[symbol] = BookBuilder(self.rules, self.snapshot_limit)
        return self.books[symbol]

    def tape(self, symbol: str) -> TradeTape:
        """The symbol's tape, made at its first mention."""
        if symbol not in self.tapes:
            hold = HELD_LIMIT if self.refetching else REORDER_LIMIT
            self.tapes[symbol] = TradeTape(hold=hold, spread_ms=GROUP_SPREAD_MS[self.rules])
        return self.tapes[symbol]

    def apply(self, message: dict[str, Any]) -> Step:
        """Take one message of the log. Never raises on what an exchange may send: trouble comes back as findings."""
        try:
            event = parse_event(message)
            step = Step(event)
            if isinstance(event, Depth):
                self.counts["depth"] += 1
                self._depth(event, step)
            elif isinstance(event, Ticker):
                self.counts["bbo"] += 1
                self._ticker(event, step)
            elif isinstance(event, Trade):
                self.counts["trades"] += 1
                self._trades(event.symbol, [event], step)
            elif isinstance(event, Trades):
                self._refetched(event, step)
            elif isinstance(event, Snapshot):
                self.counts["snapshots"] += 1
                self._snapshot(event, step)
            elif isinstance(event, Control):
                self._control(event, step)
            else:
                self.counts["other"] += 1
        except (MalformedEventError, ValueError, TypeError, ArithmeticError) as error:
            step = Step(None, findings=[Finding("malformed", _symbol_of(message), str(error)[:200])])
        for finding in step.findings:
            self.counts[finding.what] += 1
        return step

    def _depth(self, event: Depth, step: Step) -> None:
        book = self.book(event.symbol)
        before = book.last_id
        try:
            outcome = book.on_depth(event)
        except (ValueError, TypeError) as error:  # part of the event may be applied by now: the book is void
            book.invalidate()
            raise MalformedEventError(f"depth event {event.final_id}: {error}") from error
        self._judge(event.symbol, outcome, f"event {event.first_id}-{event.final_id} after {before}", step)

    def _snapshot(self, event: Snapshot, step: Step) -> None:
        symbol = event.symbol if event.symbol is not None else self._only_symbol()
        outcome = self.book(symbol).on_snapshot(event)
        self._judge(symbol, outcome, f"snapshot {event.last_id}", step)

    def _judge(self, symbol: str, outcome: Outcome, detail: str, step: Step) -> None:
        if outcome is Outcome.APPLIED:
            book = self.books[symbol]
            step.book = True
            if book.covers(1):
                self._check(symbol).on_book(book.last_id or 0, book.top())
        elif outcome is Outcome.OLD:
            self.counts["old_depth"] += 1
        elif outcome in FAULTS:
            step.findings.append(Finding(outcome.value, symbol, detail))

    def _ticker(self, event: Ticker, step: Step) -> None:
        different = self._check(event.symbol).on_ticker(event)
        if different:
            detail = f"{different} tops differ from bookTicker before update {event.update_id}"
            step.findings.append(Finding("top_differs", event.symbol, detail))

    def _trades(self, symbol: str, trades: list[Trade], step: Step) -> None:
        tape = self.tape(symbol)
        for trade in trades:
            new, bars = tape.push(trade)
            step.bars += bars
            if new is not None:
                step.trades.append(new)
        self.counts["old_trades"] += len(trades) - len(step.trades)
        self._holes(symbol, tape, step)

    def _refetched(self, event: Trades, step: Step) -> None:
        """Missed trades, asked for by REST. What the answer holds beyond the hole is cut off."""
        hole = self.tape(event.symbol).hole()
        if hole is None:
            return
        step.source = event.source
        missing = [trade for trade in event.trades if trade.first_id <= hole[1] and trade.trade_id >= hole[0]]
        self._trades(event.symbol, missing, step)
        if step.trades:
            count = sum(trade.joined for trade in step.trades)
            told = f"ids {step.trades[0].first_id}-{step.trades[-1].trade_id}, {count} trades by {event.source}"
            step.findings.append(Finding("trades_refetched", event.symbol, told))

    def _holes(self, symbol: str, tape: TradeTape, step: Step) -> None:
        for first, last in tape.take_holes():
            step.findings.append(Finding("trades_lost", symbol, f"ids {first}-{last}, {last - first + 1} trades"))

    def _control(self, event: Control, step: Step) -> None:
        if event.what == "book" and event.symbol is not None:
            self.book(event.symbol).restore(event.detail["state"])
            step.book = True
        elif event.what == "tape" and event.symbol is not None:
            self.tape(event.symbol).restore(event.detail["state"])
        elif event.what == "no_trades" and event.symbol is not None:
            tape = self.tape(event.symbol)
            step.bars = tape.pass_hole()
            self._holes(event.symbol, tape, step)
        elif event.what in ("disconnect", "stall", "dropped"):
            step.findings.append(Finding(event.what, None, str(event.detail.get("reason", event.detail.get("count")))))
            self.interrupt()

    def interrupt(self) -> None:
        """Events may be missing from here on: every book is void until its next snapshot, checks start afresh."""
        for book in self.books.values():
            book.invalidate()
        for check in self.checks.values():
            check.reset()

    def _check(self, symbol: str) -> TopCheck:
        if symbol not in self.checks:
            self.checks[symbol] = TopCheck()
        return self.checks[symbol]

    def _only_symbol(self) -> str:
        if len(self.books) != 1:
            raise MalformedEventError("a snapshot without symbol in a log of several symbols")
        return next(iter(self.books))

    def carry(self) -> list[dict[str, Any]]:
        """Records for the head of a new segment, from which `apply` continues as if nothing had been cut."""
        books = [
            {"recorder": "book", "symbol": symbol, "state": book.to_dict()}
            for symbol, book in self.books.items()
            if book.live
        ]
        tapes = [{"recorder": "tape", "symbol": symbol, "state": tape.to_dict()} for symbol, tape in self.tapes.items()]
        return books + tapes


def _symbol_of(message: dict[str, Any]) -> str | None:
    data = message.get("data", message)
    symbol = data.get("s", data.get("symbol")) if isinstance(data, dict) else None
    return symbol if isinstance(symbol, str) else None
