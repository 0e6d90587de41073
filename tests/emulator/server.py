"""The emulated exchange and the archive site behind real TLS sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.emulator.archive import ARCHIVE_HOST, ArchiveSite
from tests.emulator.core import ExchangeCore, Reply
from tests.emulator.network import REST_HOSTS, Network

HANG_SECONDS = 3600.0


@asynccontextmanager
async def serving(
    network: Network, core: ExchangeCore | None = None, archive: ArchiveSite | None = None
) -> AsyncIterator[int]:
    """Serve `core` at the exchanges' REST hosts and `archive` at the archive host; yields the port."""
    runner = web.AppRunner(_application(core, archive), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    hosts = (*REST_HOSTS, ARCHIVE_HOST)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=network.server_tls(*hosts))
    await site.start()
    port = runner.addresses[0][1]
    if core is not None:
        network.serve(port, *REST_HOSTS)
    if archive is not None:
        network.serve(port, ARCHIVE_HOST)
    try:
        yield port
    finally:
        await runner.cleanup()


def _application(core: ExchangeCore | None, archive: ArchiveSite | None) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        if host == ARCHIVE_HOST and archive is not None:
            reply = archive.respond(request.path)
        elif core is not None:
            reply = core.respond(host, request.path, request.query)
        else:
            reply = Reply(404, b"")
        return await _send(request, reply)

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    return application


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    if reply.cut == "timeout":
        await asyncio.sleep(HANG_SECONDS)
    if reply.cut == "reset_before":
        _abort(request)
    if reply.cut == "reset_mid_body":
        response = web.StreamResponse(headers={**reply.headers, "Content-Length": str(len(reply.body))})
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        await asyncio.sleep(0.005)
        _abort(request)
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError  # the handler ends without a word, as a dead host would
