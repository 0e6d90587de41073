"""Loopback in place of the internet: named hosts lead to local ports over TLS, every other host is refused.

The client's URLs stay as they are (overriding them changes ccxt's error mapping and can hang its websockets): only the
name lookup and the certificate authority differ from production.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass, field

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

REST_HOSTS = ("api.binance.com", "fapi.binance.com", "api.bybit.com", "www.okx.com", "api.kraken.com")
STREAM_HOSTS = ("stream.binance.com", "fstream.binance.com", "stream.bybit.com", "ws.okx.com")


class HostRefused(OSError):
    """A test tried to reach a host that nobody emulates."""


@dataclass
class Network:
    """Which host is served at which local port, and one certificate authority that vouches for all of them."""

    hosts: dict[str, int] = field(default_factory=dict)
    """Host name to port on 127.0.0.1; emulators add theirs with `serve` once they listen."""
    refused: list[str] = field(default_factory=list)
    """Every host that was asked for and refused, for tests to assert on."""
    authority: trustme.CA = field(default_factory=trustme.CA)

    def serve(self, port: int, *hosts: str) -> None:
        """Lead `hosts` to `port`."""
        self.hosts.update(dict.fromkeys(hosts, port))

    def server_tls(self, *hosts: str) -> ssl.SSLContext:
        """A server context whose certificate is valid for `hosts`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*hosts).configure_cert(context)
        return context

    def client_tls(self) -> ssl.SSLContext:
        """A client context that trusts this network's authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    def session(self) -> aiohttp.ClientSession:
        """A session for `session=` of a ccxt client (or for plain aiohttp); the caller closes it."""
        return aiohttp.ClientSession(connector=LoopbackConnector(self), trust_env=False)

    def resolve(self, host: str, port: int) -> ResolveResult:
        """Where `host` really is. Raises HostRefused, and remembers the host, when it is not ours."""
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = False
        if local or host in self.hosts:
            return ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port if local else self.hosts[host],
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        self.refused.append(host)
        raise HostRefused(f"host {host!r} is not emulated: tests reach 127.0.0.1 only")


class LoopbackConnector(aiohttp.TCPConnector):
    """Asks the network for every host, bare IP addresses included (aiohttp would not ask a resolver for those)."""

    def __init__(self, network: Network) -> None:
        super().__init__(resolver=_Lookup(network), ssl=network.client_tls(), use_dns_cache=False, limit=64)
        self._network = network

    async def _resolve_host(self, host: str, port: int, traces: object = None) -> list[ResolveResult]:
        return [self._network.resolve(host, port)]


class _Lookup(AbstractResolver):
    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [self._network.resolve(host, port)]

    async def close(self) -> None:
        """Nothing is held open."""
