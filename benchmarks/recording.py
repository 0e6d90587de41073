"""How fast a book is rebuilt from diffs, against a plain dictionary that is sorted after every event.

    python benchmarks/recording.py [--capture FILE.gz --rules linear]

Without a capture a seeded stream about as wide as Binance's is used, so that it runs anywhere. Both sides decode the
same JSON and give the ten best levels after every event; their results are compared before their times are. The last
line is `RESULT {json}`.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import tyro

from data_pipeline.recording.book import BookBuilder
from data_pipeline.recording.events import Depth, parse_binance, parse_snapshot, read_log
from data_pipeline.recording.state import StreamState

DEPTH = 10


@dataclass(frozen=True)
class Args:
    """What to replay."""

    capture: Path | None = None
    """A recorded combined stream with a depth snapshot (lines `<local ns> <json>`, gzip)."""
    rules: Literal["spot", "linear"] = "spot"
    """Sequence rules of the capture."""
    repeats: int = 5
    """Runs of each side, taken in turns; the fastest counts."""
    soak_events: int = 300_000
    """Events of the memory check."""


def synthetic(events: int, levels: int = 3000, changes: int = 45) -> tuple[dict[str, Any], list[bytes]]:
    """A snapshot and depth messages about as wide as Binance's: `levels` a side, `changes` an event."""
    rng = random.Random(1)
    mid, last_id = 6_000_000, 1000
    sides = [{mid - 1 - i: 1.0 for i in range(levels)}, {mid + 1 + i: 1.0 for i in range(levels)}]

    def text(tick: int) -> str:
        return f"{tick // 100}.{tick % 100:02d}000000"

    snapshot = {
        "lastUpdateId": last_id,
        "bids": [[text(tick), "1.00000000"] for tick in sides[0]],
        "asks": [[text(tick), "1.00000000"] for tick in sides[1]],
    }
    messages = []
    for _ in range(events):
        changed: list[list[list[str]]] = [[], []]
        for _ in range(changes):
            side = rng.random() < 0.5
            tick = mid + (1 + int(rng.expovariate(1 / 200))) * (1 if side else -1)
            qty = f"{rng.random():.8f}" if rng.random() < 0.6 or len(sides[side]) < levels // 2 else "0.00000000"
            if float(qty):
                sides[side][tick] = 1.0
            else:
                sides[side].pop(tick, None)
            changed[side].append([text(tick), qty])
        first, last_id = last_id + 1, last_id + changes
        data = {"e": "depthUpdate", "E": 0, "s": "BTCUSDT", "U": first, "u": last_id, "b": changed[0], "a": changed[1]}
        messages.append(orjson.dumps({"stream": "btcusdt@depth", "data": data}))
    return snapshot, messages


def captured(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The snapshot of a capture and the depth messages that it can be joined with."""
    lines = list(read_log(path))
    snapshot = next(line.message for line in lines if "lastUpdateId" in line.message)
    depth = [line for line in lines if "@depth" in line.message.get("stream", "")]
    return snapshot, [line.text for line in depth if line.message["data"]["u"] >= snapshot["lastUpdateId"]]


def ours(snapshot: dict[str, Any], messages: list[bytes], rules: Literal["spot", "linear"]) -> list[Any]:
    """The ten best levels after every event, by the book builder (sequence checks included)."""
    book = BookBuilder(rules)
    book.on_snapshot(parse_snapshot("BTCUSDT", snapshot))
    tops = []
    for text in messages:
        event = parse_binance(orjson.loads(text))
        assert isinstance(event, Depth)
        book.on_depth(event)
        if book.live:
            tops.append(book.levels(DEPTH))
    return tops


def plain(snapshot: dict[str, Any], messages: list[bytes], rules: Literal["spot", "linear"]) -> list[Any]:
    """The same by two dictionaries, sorted after every event; no sequence checks."""
    del rules
    bids = {float(price): float(qty) for price, qty in snapshot["bids"]}
    asks = {float(price): float(qty) for price, qty in snapshot["asks"]}
    tops = []
    for text in messages:
        data = orjson.loads(text)["data"]
        if data["u"] <= snapshot["lastUpdateId"]:
            continue
        for side, levels in ((bids, data["b"]), (asks, data["a"])):
            for price, qty in levels:
                if float(qty):
                    side[float(price)] = float(qty)
                else:
                    side.pop(float(price), None)
        best_bids, best_asks = sorted(bids, reverse=True)[:DEPTH], sorted(asks)[:DEPTH]
        tops.append(([(p, bids[p]) for p in best_bids], [(p, asks[p]) for p in best_asks]))
    return tops


def seconds(side: Callable[..., list[Any]], *arguments: Any) -> float:
    """CPU time of one run, which a busy machine disturbs least."""
    start = time.process_time()
    side(*arguments)
    return time.process_time() - start


def resident_mb() -> float:
    """Memory that the process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def soak_growth_mb(events: int) -> float:
    """Growth of the process's memory over the last four fifths of a long stream of book, quotes and trades."""
    state = StreamState("spot")
    snapshot, messages = synthetic(2000, levels=1000, changes=10)
    state.book("BTCUSDT").on_snapshot(parse_snapshot("BTCUSDT", snapshot))
    templates = [orjson.loads(text)["data"] for text in messages]
    last_id, early = snapshot["lastUpdateId"], 0.0
    for number in range(events // 3):
        event = dict(templates[number % len(templates)], U=last_id + 1, u=last_id + 10)
        last_id += 10
        ticker = {"u": last_id, "s": "BTCUSDT", "b": "59999.99", "B": "1", "a": "60000.01", "A": "1"}
        trade = {
            "e": "trade",
            "E": number,
            "s": "BTCUSDT",
            "t": number,
            "p": "60000",
            "q": "1",
            "T": 50 * number,
            "m": True,
        }
        for message in (event, ticker, trade):
            state.apply(message)
        if number == events // 15:
            early = resident_mb()
    return resident_mb() - early


def main(args: Args) -> int:
    """Print both speeds and the memory check; 1 when the two sides disagree."""
    growth = soak_growth_mb(args.soak_events)
    snapshot, messages = captured(args.capture) if args.capture else synthetic(3000)
    if ours(snapshot, messages, args.rules) != plain(snapshot, messages, args.rules)[-len(messages) :]:
        print("the two sides give different books")
        return 1
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(args.repeats):
        times["ours"].append(seconds(ours, snapshot, messages, args.rules))
        times["plain"].append(seconds(plain, snapshot, messages, args.rules))
    rates = {name: len(messages) / min(values) for name, values in times.items()}
    source = args.capture.name if args.capture else "synthetic stream"
    print(f"{source}: {len(messages)} events, ten levels after each")
    print(f"book builder {rates['ours']:,.0f} events/s, dictionary sorted each time {rates['plain']:,.0f} events/s")
    print(f"memory: +{growth:.1f} MB over {args.soak_events * 4 // 5:,} events")
    result = {
        "book_events_per_s": round(rates["ours"]),
        "book_vs_plain": round(rates["ours"] / rates["plain"], 2),
        "soak_growth_mb": round(growth, 1),
    }
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
