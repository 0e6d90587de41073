"""The weight budget on a virtual clock: even pacing, no refusal by own traffic, room for others, Retry-After."""

from __future__ import annotations

import asyncio

import pytest

from data_pipeline.download.governor import WeightGovernor
from tests.emulator.virtual_time import run_virtual


@pytest.mark.parametrize(
    ("limit", "window_s", "weight"), [(6000, 60.0, 2), (2400, 60.0, 10), (20, 2.0, 1), (600, 5.0, 1)]
)
def test_no_window_ever_holds_more_than_the_limit(limit: int, window_s: float, weight: int) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        governor = WeightGovernor(limit, window_s=window_s, share=0.8, in_flight=15)
        sent: list[float] = []

        async def work() -> None:
            while len(sent) < 4 * limit // weight:
                async with governor.slot(weight):
                    sent.append(loop.time())
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(work() for _ in range(15)))
        return sent

    sent = run_virtual(main())
    most = limit // weight
    assert all(later - earlier >= window_s for earlier, later in zip(sent, sent[most:], strict=False))
    assert len(sent) * weight / (sent[-1] - sent[0]) > 0.75 * limit / window_s or 15 / 0.05 * weight < limit / window_s


def test_others_on_the_address_make_it_wait_for_the_next_minute() -> None:
    async def main() -> float:
        governor = WeightGovernor(6000, share=0.8, in_flight=15)
        governor.observe(200, {"X-MBX-USED-WEIGHT-1M": "5399", "Date": "Mon, 01 Jan 2024 00:00:20 GMT"})
        assert governor.held_s == 0
        governor.observe(200, {"x-mbx-used-weight-1m": "5400", "Date": "Mon, 01 Jan 2024 00:00:20 GMT"})
        return governor.held_s

    assert run_virtual(main()) == pytest.approx(40.1)


@pytest.mark.parametrize(
    ("header", "seconds"), [({"Retry-After": "7"}, 7.0), ({"retry-after": "nonsense"}, 60.0), ({}, 60.0)]
)
@pytest.mark.parametrize("status", [418, 429])
def test_a_refusal_stops_everything_for_as_long_as_it_says(status: int, header: dict[str, str], seconds: float) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        governor = WeightGovernor(6000, share=0.8, in_flight=15)
        governor.observe(status, header)
        began = loop.time()
        async with governor.slot(1):
            return loop.time() - began

    assert run_virtual(main()) == pytest.approx(seconds)
