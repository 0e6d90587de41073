"""Steps for others to read: a Redis stream of capped length. Optional: without REDIS_HOST there is no bus.

Trading never waits for it. A step that cannot be published is counted as lost, and the bus is left alone for a while.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from data_pipeline.errors import InputError
from live.session import Step

if TYPE_CHECKING:
    import redis

HOST, PORT = "REDIS_HOST", "REDIS_PORT"
DEFAULT_PORT = 6379
PREFIX = "scalping:session:"
KILL_ALL = "scalping:kill"
"""Key that stops every session; with ":NAME" behind it, one of them."""
MAX_LENGTH = 10_000
"""Entries a stream keeps, about (Redis trims whole nodes); a week of one-minute bars."""
TIMEOUT_S = 1.0
PAUSE_S = 5.0
"""Seconds without a try after a failure."""


class StepBus(Protocol):
    """Where steps are published."""

    lost: int
    """Steps that could not be published."""

    def publish(self, step: Step) -> None:
        """Publish a step, or count it as lost; never raises for a bus that is away."""
        ...

    def kill_key(self) -> str | None:
        """The key that pulls the kill switch, if there is one; None too when the bus is away."""
        ...


class RedisBus:
    """Publishes to the stream `scalping:session:NAME`, each field of a step as JSON, with the symbol beside them."""

    def __init__(self, client: redis.Redis, name: str, symbol: str, max_length: int) -> None:
        self.stream = f"{PREFIX}{name}"
        self.lost = 0
        self._client, self._symbol, self._max_length = client, symbol, max_length
        self._kill_keys = (KILL_ALL, f"{KILL_ALL}:{name}")
        self._quiet_until = 0.0

    def publish(self, step: Step) -> None:
        """See `StepBus.publish`."""
        import redis

        if time.monotonic() < self._quiet_until:
            self.lost += 1
            return
        fields: dict[str, Any] = {"symbol": self._symbol}
        fields |= {name: json.dumps(value, allow_nan=False) for name, value in step.to_dict().items()}
        try:
            self._client.xadd(self.stream, fields, maxlen=self._max_length, approximate=True)  # type: ignore[arg-type]
        except redis.RedisError:
            self.lost += 1
            self._quiet_until = time.monotonic() + PAUSE_S

    def kill_key(self) -> str | None:
        """See `StepBus.kill_key`."""
        import redis

        if time.monotonic() < self._quiet_until:
            return None
        try:
            values = self._client.mget(self._kill_keys)
        except redis.RedisError:
            self._quiet_until = time.monotonic() + PAUSE_S
            return None
        return next((key for key, value in zip(self._kill_keys, values, strict=True) if value is not None), None)


def connect_bus(name: str, symbol: str, environment: Mapping[str, str]) -> RedisBus | None:
    """The bus that REDIS_HOST and REDIS_PORT (6379) name; None without REDIS_HOST.

    Raises InputError when the port is no number, the redis package is missing, or nothing answers there.
    """
    host = environment.get(HOST, "")
    if not host:
        return None
    port = environment.get(PORT) or str(DEFAULT_PORT)
    if not port.isdigit():
        raise InputError(f"{PORT} {port!r} is not a port", where="environment", remedy="give a number such as 6379")
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise InputError(
            f"{HOST} is set, but the redis package is not installed",
            where="environment",
            remedy="pip install 'redis>=5', or unset it",
        ) from error
    client = redis.Redis(
        host=host,
        port=int(port),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except redis.RedisError as error:
        raise InputError(
            f"no Redis answers ({error})", where=f"{host}:{port}", remedy=f"start it, or unset {HOST}"
        ) from error
    return RedisBus(client, name, symbol, max_length=MAX_LENGTH)
