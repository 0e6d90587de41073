"""A recorder against the emulated exchange: in this process, or in a child that can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from data_pipeline.recording.config import RecordConfig
from data_pipeline.recording.recorder import Recorder, RecordSummary
from tests.emulator.bars import BarSource
from tests.emulator.core import ExchangeCore, Listing
from tests.emulator.network import REST_HOSTS, STREAM_HOSTS, Network
from tests.emulator.server import serving
from tests.emulator.stream import StreamExchange, streaming


@dataclass
class Stage:
    """The emulated exchange, both sides running, its market moving."""

    network: Network
    core: ExchangeCore
    exchange: StreamExchange
    rest_port: int
    stream_port: int


@asynccontextmanager
async def stage(exchange: StreamExchange, *, pump: bool = True) -> AsyncIterator[Stage]:
    """Both sides of one exchange; with `pump`, books move and trades happen a hundred times a second."""
    source = BarSource(1_700_000_040_000 // 60_000 * 60_000, 10)
    listings = [Listing(name[:-4], "USDT", source, contract=exchange.contract) for name in exchange.symbols]
    core = ExchangeCore(listings, clock=exchange.clock)
    core.depth_source = lambda contract, symbol, limit: exchange.depth_source(contract, symbol, limit)
    core.trade_source = lambda name, query: exchange.trade_source(name, query)
    network = Network()
    async with serving(network, core) as rest_port, streaming(network, exchange) as stream_port:
        pumping = asyncio.create_task(exchange.pump()) if pump else None
        try:
            yield Stage(network, core, exchange, rest_port, stream_port)
        finally:
            if pumping is not None:
                pumping.cancel()


async def record(
    on: Stage, config: RecordConfig, script: Callable[[Recorder], Awaitable[None]], *, limit_s: float = 20.0
) -> tuple[Recorder, RecordSummary]:
    """Record while `script` runs, then stop; returns the recorder and its summary."""
    async with on.network.session() as session:
        recorder = Recorder(config, session=session)
        running = asyncio.create_task(recorder.run())
        acting = asyncio.ensure_future(script(recorder))
        async with asyncio.timeout(limit_s):
            await asyncio.wait({running, acting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                acting.cancel()
                return recorder, running.result()
            try:
                await acting
            finally:
                recorder.stop()
                await asyncio.wait({running})
        return recorder, running.result()


async def until(condition: Callable[[], bool], *, limit_s: float = 15.0) -> None:
    """Wait for `condition`. Raises TimeoutError when it does not come true."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


async def start_child(on: Stage, out: Path, *, rotate_mb: float = 512.0) -> asyncio.subprocess.Process:
    """The record command in a process of its own, which reaches this stage only."""
    authority = out.parent / "authority"
    authority.mkdir(exist_ok=True)
    (authority / "certificate.pem").write_bytes(on.network.authority.cert_pem.bytes())
    (authority / "key.pem").write_bytes(on.network.authority.private_key_pem.bytes())
    command = ("-m", "tests.emulator.recording", str(authority), str(on.rest_port), str(on.stream_port), str(out))
    command += (str(rotate_mb),)
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def _child(authority: Path, rest_port: int, stream_port: int, out: Path, rotate_mb: float) -> int:
    from scripts.record import record as command

    certificate, key = (authority / name for name in ("certificate.pem", "key.pem"))
    network = Network(authority=trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes()))
    network.serve(rest_port, *REST_HOSTS)
    network.serve(stream_port, *STREAM_HOSTS)
    async with network.session() as session:
        return await command(RecordConfig(symbols=("BTC/USDT",), out=out, rotate_mb=rotate_mb), session)


if __name__ == "__main__":
    folder, rest, stream, target, megabytes = sys.argv[1:]
    sys.exit(asyncio.run(_child(Path(folder), int(rest), int(stream), Path(target), float(megabytes))))
