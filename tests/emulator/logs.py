"""Logs as a recorder writes them, without a recorder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from data_pipeline.recording.events import encode_line
from tests.emulator.stream import StreamExchange

START_NS = 1_700_000_000_000_000_000
HEAD = {"recorder": "segment", "venue": "binance_spot", "contract": "spot", "snapshot_limit": 1000}


def messages(count: int = 120) -> list[dict]:
    """A session of an emulated market of ten seconds a step, with a snapshot near its begin."""
    now = [START_NS / 1e9]
    exchange = StreamExchange(clock=lambda: now[0])
    taken: list[dict] = []

    async def take(stream: str, data: dict) -> None:
        taken.append(orjson.loads(orjson.dumps(data)))

    exchange.send = take  # type: ignore[method-assign]

    async def act() -> None:
        for step in range(count):
            await exchange.move_book("BTCUSDT")
            if step == 3:
                response = exchange.depth_source("spot", "BTCUSDT", 1000)
                taken.append({"recorder": "snapshot", "symbol": "BTCUSDT", "response": response})
            await exchange.trade("BTCUSDT")
            now[0] += 10

    asyncio.run(act())
    return taken


def write_log(out: Path, records: list[dict], start_ns: int = START_NS) -> Path:
    path = out / "log" / f"{start_ns}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode_line(start_ns + n, record) for n, record in enumerate([HEAD, *records])))
    return path
