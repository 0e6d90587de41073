"""The bus against a real Redis server, there and gone."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from live import bus as bus_module
from live.account import Fill
from live.bus import connect_bus
from live.kill_switch import KILL_FILE, KillSwitch
from live.session import Decision, Step

redis = pytest.importorskip("redis")
SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed")

STEP = Step(
    open_time_ms=1_700_000_040_000,
    close=100.5,
    ready=True,
    gap=False,
    rehearsal=False,
    predictions={"p_up_ensemble_h5": 0.625, "p_up_tcn_h5": None},
    fills=(Fill("entry", -1, 0.25, 100.25, "signal"),),
    trades=(),
    position=-0.25,
    equity=9_999.5,
    decision=Decision(-1.0, 30.0, None, 60.0, None),
    risk_state="active",
    risk_reason="none",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    port = free_port()
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        client = redis.Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield process, port
        process.terminate()


def test_steps_arrive_and_the_stream_is_capped(server: tuple[subprocess.Popen, int], monkeypatch) -> None:
    _, port = server
    monkeypatch.setattr(bus_module, "MAX_LENGTH", 100)
    bus = connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})
    for _ in range(500):
        bus.publish(STEP)
    client = redis.Redis(port=port, decode_responses=True)
    assert bus.lost == 0
    assert 100 <= client.xlen("scalping:session:april") < 300  # Redis trims whole nodes of 100
    _, fields = client.xrevrange("scalping:session:april", count=1)[0]
    assert fields.pop("symbol") == "SYN/USDT"
    assert {name: json.loads(value) for name, value in fields.items()} == json.loads(json.dumps(STEP.to_dict()))


def test_a_server_that_goes_away_costs_steps_and_nothing_else(server: tuple[subprocess.Popen, int]) -> None:
    process, port = server
    bus = connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})
    bus.publish(STEP)
    process.kill()
    process.wait()
    begun = time.monotonic()
    for _ in range(1_000):
        bus.publish(STEP)
    assert bus.lost == 1_000
    assert time.monotonic() - begun < 1.0
    with pytest.raises(InputError, match=rf"127.0.0.1:{port}: no Redis answers .*unset REDIS_HOST"):
        connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})


def test_a_server_that_comes_back_is_used_again(server: tuple[subprocess.Popen, int], monkeypatch, tmp_path) -> None:
    process, port = server
    monkeypatch.setattr(bus_module, "PAUSE_S", 0.0)
    bus = connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})
    process.kill()
    process.wait()
    bus.publish(STEP)
    assert bus.lost == 1
    with subprocess.Popen(
        [SERVER, "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    ) as again:
        for _ in range(100):
            bus.publish(STEP)
            if redis_length(port):
                break
            time.sleep(0.05)
        assert redis_length(port) >= 1
        again.terminate()


def test_a_key_pulls_the_kill_switch(server: tuple[subprocess.Popen, int], tmp_path: Path) -> None:
    process, port = server
    bus = connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)})
    client, switch = redis.Redis(port=port), KillSwitch(tmp_path, bus)
    assert switch.pulled_by() is None
    client.set("scalping:kill:march", 1)
    assert switch.pulled_by() is None
    for key in ("scalping:kill:april", "scalping:kill"):
        client.set(key, 1)
        assert switch.pulled_by() == key
        client.delete(key)
    process.kill()
    process.wait()
    assert switch.pulled_by() is None  # trading never waits for the bus; the file always works
    (tmp_path / KILL_FILE).touch()
    assert switch.pulled_by() == str(tmp_path / KILL_FILE)


def redis_length(port: int) -> int:
    try:
        return redis.Redis(port=port).xlen("scalping:session:april")
    except redis.ConnectionError:
        return 0


def test_no_host_means_no_bus_and_a_bad_port_is_named() -> None:
    assert connect_bus("april", "SYN/USDT", {}) is None
    with pytest.raises(InputError, match="REDIS_PORT 'x' is not a port"):
        connect_bus("april", "SYN/USDT", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "x"})
