"""Tables of episodes' statistics are used again, but never under the eyes of somebody who has one."""

import numpy as np

from envs.aligned import CACHE_LINE_BYTES, aligned_empty, aligned_zeros
from envs.batch import LaneBatch
from envs.config import MarketConfig
from envs.episodes import StatisticsTables, episode_statistics
from envs.kernel import open_lanes
from tests.market_tools import rich_market

LANES = 20


def running_batch() -> tuple[LaneBatch, np.random.Generator]:
    market = rich_market(1, 300)
    batch = LaneBatch(market, MarketConfig(), LANES)
    open_lanes(batch.state.account, batch.state.clock, np.geomspace(100.0, 1e4, LANES), 0, len(market) - 1)
    return batch, np.random.default_rng(0)


def move(batch: LaneBatch, rng: np.random.Generator) -> None:
    orders = np.tile([0.0, 30.0, 20.0, 12.0, np.inf], (LANES, 1))
    orders[:, 0] = rng.integers(-1, 2, LANES)
    batch.step(orders, np.empty((0, 0), dtype=np.float32))


def test_told_again_and_again_they_are_what_fresh_ones_would_be() -> None:
    batch, rng = running_batch()
    tables = StatisticsTables()
    for _ in range(50):
        move(batch, rng)
        ended = rng.random(LANES) < 0.2
        told = tables.tell(batch.state, 60_000, ended)
        fresh = episode_statistics(batch.state, 60_000, ended)
        assert told.keys() == fresh.keys()
        for name, values in told.items():
            assert values.dtype == fresh[name].dtype
            np.testing.assert_array_equal(values, fresh[name], err_msg=name)
            assert not values[~ended].any()
            values[:] = 7  # who has them may write into them
    assert fresh["trades"][ended].any()


def test_what_somebody_has_stays_as_it_is() -> None:
    batch, rng = running_batch()
    tables = StatisticsTables()
    everybody = np.ones(LANES, dtype=bool)
    kept, copies = [], []
    for step in range(40):
        move(batch, rng)
        told = tables.tell(batch.state, 60_000, everybody)
        part = (told, told["equity"], told["bars"][3:5], np.asarray(told["fees"]).reshape(4, 5))[step % 4]
        kept.append(part)
        copies.append({k: v.copy() for k, v in part.items()} if isinstance(part, dict) else part.copy())
        del told, part
    for part, copy in zip(kept, copies, strict=True):
        if isinstance(part, dict):
            for name, values in copy.items():
                np.testing.assert_array_equal(part[name], values)
        else:
            np.testing.assert_array_equal(part, copy)


def test_memory_is_used_again_when_nobody_has_it() -> None:
    batch, rng = running_batch()
    tables = StatisticsTables()
    everybody = np.ones(LANES, dtype=bool)
    places = set()
    told = None
    for _ in range(20):
        move(batch, rng)
        told = tables.tell(batch.state, 60_000, everybody)  # while the last is still there, as in a loop of steps
        places.add(told["equity"].ctypes.data)
    assert len(places) == 2


def test_aligned_arrays_begin_at_a_cache_line() -> None:
    for rows in range(1, 40):
        array = aligned_empty((rows, 3), np.float32)
        assert array.ctypes.data % CACHE_LINE_BYTES == 0
        assert array.shape == (rows, 3)
        assert array.flags.c_contiguous
        zeros = aligned_zeros((rows, 5), np.int64)
        assert zeros.ctypes.data % CACHE_LINE_BYTES == 0
        assert not zeros.any()
