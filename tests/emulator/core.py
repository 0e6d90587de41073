"""The emulated exchange without any network: a request in, a reply out. Weights and limits are the real ones."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.emulator.bars import BarSource
from tests.emulator.faults import Fault, FaultPlan

JSON_TYPE = "application/json;charset=UTF-8"
BINANCE_HOSTS = {"api.binance.com": "spot", "fapi.binance.com": "linear"}
WEIGHT_LIMITS = {"spot": 6000, "linear": 2400}
BAN_AFTER = 20  # requests sent in spite of 429 before the address is banned
BAN_SECONDS = 120.0


@dataclass
class Reply:
    """A status, a body and headers; `cut` says how the transport is to break it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: str = ""


@dataclass
class Listing:
    """One market: its rules and its bars. `active` False is a market that stopped trading."""

    base: str
    quote: str
    source: BarSource
    contract: str = "spot"
    tick: str = "0.01"
    step: str = "0.001"
    min_notional: str = "5"
    active: bool = True

    @property
    def key(self) -> str:
        """The exchange's symbol, such as BTCUSDT."""
        return self.base + self.quote


@dataclass
class ExchangeCore:
    """Answers as Binance (spot, USD-M), Bybit and OKX do. Deterministic for its inputs and its clock."""

    listings: list[Listing]
    clock: Callable[[], float] = time.time
    """Seconds since 1970 as the exchange sees them."""
    faults: FaultPlan = field(default_factory=FaultPlan)
    weight_limits: dict[str, int] = field(default_factory=lambda: dict(WEIGHT_LIMITS))
    depth_source: Callable[[str, str, int], dict] | None = None
    """(contract, symbol, limit) -> the body of a depth answer; a stream emulator plugs its live book in here."""
    trade_source: Callable[[str, Mapping[str, str]], list[dict]] | None = None
    """(trades or aggTrades, query) -> the rows; a stream emulator plugs its own trades in here."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    peak_weight: dict[str, int] = field(default_factory=dict)
    running_bars_served: int = 0
    _windows: dict[str, tuple[int, int]] = field(default_factory=dict)
    _over: dict[str, int] = field(default_factory=dict)
    _banned_until: dict[str, float] = field(default_factory=dict)
    _stamps: dict[str, deque[float]] = field(default_factory=dict)

    def now_ms(self) -> int:
        """The exchange's clock in milliseconds."""
        return int(self.clock() * 1000)

    def respond(self, host: str, path: str, query: Mapping[str, str]) -> Reply:
        """The reply to a GET; counts it, weighs it and lets the fault plan have its way."""
        self.requests.append((host, path, dict(query)))
        reply = self._weighed(host, path, query)
        self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
        return reply

    def _weighed(self, host: str, path: str, query: Mapping[str, str]) -> Reply:
        contract = BINANCE_HOSTS.get(host)
        headers = {"Content-Type": JSON_TYPE, "Date": formatdate(self.clock(), usegmt=True)}
        if contract is not None:
            refusal = self._charge(contract, binance_weight(contract, path, query), headers)
            if refusal is not None:
                return refusal
        else:
            refusal = self._count(host, path, headers)
            if refusal is not None:
                return refusal
        fault = self.faults.next(path)
        if fault is not None and fault.kind in ("429", "418"):
            headers["Retry-After"] = str(fault.retry_after)
            return Reply(int(fault.kind), b'{"code":-1003,"msg":"Too many requests."}', headers)
        if fault is not None and fault.kind in ("500", "502", "503", "504"):
            return Reply(int(fault.kind), b"<html>upstream</html>", {"Content-Type": "text/html"})
        if fault is not None and fault.kind == "html":
            return Reply(200, b"<html><body>Firewall</body></html>", {"Content-Type": "text/html"})
        body = self._body(host, path, query, fault)
        if isinstance(body, Reply):
            body.headers = {**headers, **body.headers}
            return body
        if fault is not None and fault.kind == "truncated_json":
            body = body[: int(len(body) * 0.6)]
        cut = fault.kind if fault is not None and fault.kind in ("timeout", "reset_before", "reset_mid_body") else ""
        return Reply(200, body, headers, cut)

    def _charge(self, contract: str, weight: int, headers: dict[str, str]) -> Reply | None:
        now = self.clock()
        window, used = self._windows.get(contract, (0, 0))
        if int(now // 60) != window:
            window, used = int(now // 60), 0
            self._over[contract] = 0
        used += weight
        self._windows[contract] = (window, used)
        self.peak_weight[contract] = max(self.peak_weight.get(contract, 0), used)
        headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        banned = self._banned_until.get(contract, 0.0)
        limit = self.weight_limits[contract]
        if now >= banned and used > limit:
            self._over[contract] += 1
            if self._over[contract] > BAN_AFTER:
                self._banned_until[contract] = banned = now + BAN_SECONDS
            else:
                headers["Retry-After"] = str(60 - int(now % 60))
                return Reply(429, b'{"code":-1003,"msg":"Too much request weight used."}', headers)
        if now < banned:
            headers["Retry-After"] = str(int(banned - now) + 1)
            return Reply(418, b'{"code":-1003,"msg":"Way too much request weight used; IP banned."}', headers)
        return None

    def _count(self, host: str, path: str, headers: dict[str, str]) -> Reply | None:
        """Bybit: 600 requests in 5 s an address; OKX: 20 (history) or 40 candle requests in 2 s."""
        bybit = host == "api.bybit.com"
        limit, span = (600, 5.0) if bybit else ((20, 2.0) if "history" in path else (40, 2.0))
        stamps = self._stamps.setdefault(host + path, deque())
        now = self.clock()
        while stamps and stamps[0] <= now - span:
            stamps.popleft()
        if len(stamps) >= limit:
            if bybit:
                return Reply(403, b'{"retCode":10018,"retMsg":"access too frequent."}', headers)
            return Reply(429, b'{"code":"50011","msg":"Too Many Requests"}', headers)
        stamps.append(now)
        return None

    def _body(self, host: str, path: str, query: Mapping[str, str], fault: Fault | None) -> bytes | Reply:
        from tests.emulator import binance, other_venues

        contract = BINANCE_HOSTS.get(host)
        if contract is not None:
            return binance.body(self, contract, path, query, fault)
        if host == "api.bybit.com":
            return other_venues.bybit(self, path, query, fault)
        if host == "www.okx.com":
            return other_venues.okx(self, path, query, fault)
        return Reply(404, b"{}")

    def listing(self, key: str, contract: str) -> Listing | None:
        """The market called `key`, if it is listed."""
        for entry in self.listings:
            if entry.key == key and entry.contract == contract:
                return entry
        return None

    def kline_rows(
        self, entry: Listing, start_ms: int | None, end_ms: int | None, limit: int, fault: Fault | None
    ) -> list[bytes]:
        """Rows for a kline answer, ascending, after the fault plan has spoilt them."""
        now = self.now_ms()
        source = entry.source
        picked = source.indices(start_ms, end_ms, limit, now)
        running = (now - source.start_ms) // source.interval_ms
        rows = [source.rows[row] for row in picked]
        if picked and picked[-1] == running:
            rows[-1] = _running_bar(rows[-1])
            self.running_bars_served += 1
        return rows if fault is None else _spoil(rows, fault, source.interval_ms)


def _running_bar(row: bytes) -> bytes:
    """The bar that is still open has traded only part of its volume."""
    cells = json.loads(row)
    cells[5] = f"{float(cells[5]) / 2:.3f}"
    return json.dumps(cells, separators=(",", ":")).encode()


def _spoil(rows: list[bytes], fault: Fault, interval_ms: int) -> list[bytes]:
    if fault.kind == "empty_list":
        return []
    if len(rows) < 8:
        return rows
    if fault.kind == "duplicate_bar":
        return [*rows[:5], rows[4], *rows[5:-1]]
    if fault.kind == "missing_bars":
        return [*rows[:5], *rows[7:]]
    if fault.kind == "short_rows":
        return [row[: row.index(b",", 40)] + b"]" for row in rows]
    changed = [json.loads(row) for row in rows]
    if fault.kind == "misaligned_bar":
        changed[3][0] += interval_ms // 3
    elif fault.kind == "microseconds":
        for cells in changed:
            cells[0] *= 1000
            cells[6] = cells[6] * 1000 + 999
    return [json.dumps(cells, separators=(",", ":")).encode() for cells in changed]


def binance_weight(contract: str, path: str, query: Mapping[str, str]) -> int:
    """The documented weight of a request (spot since 2023-08, USD-M by limit)."""
    limit = int(query.get("limit", 500 if "depth" not in path else 100))
    if contract == "spot":
        if path.endswith("depth"):
            return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
        return {"exchangeInfo": 20, "klines": 2, "aggTrades": 4, "trades": 25}.get(path.rsplit("/", 1)[-1], 1)
    if path.endswith("klines"):
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
    if path.endswith("depth"):
        return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
    return {"aggTrades": 20, "trades": 5}.get(path.rsplit("/", 1)[-1], 1)
