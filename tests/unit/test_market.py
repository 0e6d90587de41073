"""Markets: what may be joined, where trading is possible, saving and slicing."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market, open_market
from envs.observation import ACCOUNT_COLUMNS, observation_columns, observation_space
from tests.market_tools import (
    FIRST_MS,
    MINUTE_MS,
    PERPETUAL,
    build_market,
    random_market,
    rich_market,
    varied_orders,
)

CALM = np.tile([1000.0, 1001.0, 999.0, 1000.0], (8, 1))


def test_rows_are_tradable_when_complete_and_followed() -> None:
    observations = np.ones((8, 2), dtype=np.float32)
    observations[0, 1] = observations[5, 0] = np.nan
    market = build_market(CALM, minutes=np.array([0, 1, 2, 3, 10, 11, 12, 13]), observations=observations)
    assert market.tradable.tolist() == [False, True, True, False, True, False, True, False]
    assert market.segment_stop.tolist() == [4] * 4 + [8] * 4
    assert market.observations[0].tolist() == [1.0, 0.0]  # NaN is shown as 0, never passed on


def test_arrays_are_read_only_and_stay_so() -> None:
    import copy
    import pickle

    market = random_market(0, 50)
    for one in (market, copy.deepcopy(market), pickle.loads(pickle.dumps(market)), market.slice(3, 40)):
        for name in ("open_time_ms", "prices", "calendar", "finer", "observations", "segment_stop"):
            array = getattr(one, name)
            assert array.flags.c_contiguous
            with pytest.raises(ValueError, match="read-only"):
                array[:1] = 0


def test_building_leaves_the_callers_arrays_alone() -> None:
    observations = np.ones((8, 1), dtype=np.float32)
    build_market(CALM, observations=observations)
    observations[0] = 2.0


def test_a_slice_ends_where_it_is_cut() -> None:
    market = build_market(CALM, minutes=np.array([0, 1, 2, 3, 10, 11, 12, 13]))
    part = market.slice(2, 7)
    assert part.open_time_ms.tolist() == market.open_time_ms[2:7].tolist()
    assert part.segment_stop.tolist() == [2, 2, 5, 5, 5]
    assert part.tradable.tolist() == [True, False, True, True, False]
    assert np.shares_memory(part.prices, market.prices)
    assert len(market.slice(-3, 100)) == 3
    with pytest.raises(InputError, match="less than two bars"):
        market.slice(4, 5)


def test_save_and_load(tmp_path) -> None:
    market = rich_market(3, 60)
    folder = market.save(tmp_path / "a" / "market")
    again = open_market(folder)
    assert (again.symbol, again.instrument, again.interval_ms, again.columns) == (
        market.symbol,
        market.instrument,
        market.interval_ms,
        market.columns,
    )
    for name in ("open_time_ms", "prices", "calendar", "finer", "observations", "tradable", "segment_stop"):
        np.testing.assert_array_equal(getattr(again, name), getattr(market, name))
    random_market(4, 30).save(folder)
    assert len(Market.load(folder)) == 30
    assert [path.name for path in folder.parent.iterdir()] == ["market"]


def test_loading_something_else_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="not a saved market"):
        Market.load(tmp_path)
    random_market(3, 60).save(tmp_path / "market")
    (tmp_path / "market" / "prices.npy").write_bytes(b"cut short")
    with pytest.raises(InputError, match="not a saved market"):
        Market.load(tmp_path / "market")
    np.save(tmp_path / "market" / "prices.npy", np.ones((59, 5)))
    with pytest.raises(InputError, match=r"prices has shape \(59, 5\), not \(60, 8\)"):
        Market.load(tmp_path / "market")


def test_bad_observations_are_named() -> None:
    raw = np.zeros((8, 2), dtype=np.float32)
    raw[6, 1] = 65_000.0
    with pytest.raises(InputError, match=r"market TEST, row 6, column 'x1': value 65000.0 is outside ±1000"):
        build_market(CALM, observations=raw)
    raw[6, 1] = np.inf
    with pytest.raises(InputError, match="row 6"):
        build_market(CALM, observations=raw)
    with pytest.raises(InputError, match=r"observations have shape \(7, 1\), bars and columns ask for \(8, 1\)"):
        build_market(CALM, observations=np.zeros((7, 1)))


@pytest.mark.parametrize("bar", [[1000, 999, 998, 1000], [1000, 1001, 1000.5, 1000.6], [-1, 1, -2, 0], [np.nan] * 4])
def test_impossible_bars_are_named(bar: list[float]) -> None:
    bars = CALM.copy()
    bars[3] = bar
    with pytest.raises(InputError, match=r"market TEST, row 3: .* are not a bar"):
        build_market(bars)


def test_column_names_are_unique() -> None:
    market = build_market(CALM)
    bars = market.prices
    ones = np.ones(8)
    rows = BarArrays(market.open_time_ms, *bars[:, :4].T.copy(), ones, ones, ones, ones, ones)
    for names in (("x", "x"), ("x", ACCOUNT_COLUMNS[0])):
        with pytest.raises(InputError, match="appears twice"):
            Market.build(rows, np.zeros((8, 2)), names, PERPETUAL)
    with pytest.raises(InputError, match="cannot be traded"):
        Market.build(rows.slice(0, 1), np.zeros((1, 1)), ("x",), PERPETUAL)


def test_observation_names_match_the_space() -> None:
    market = random_market(1, 40, columns=4)
    assert observation_columns(market) == ("x0", "x1", "x2", "x3", *ACCOUNT_COLUMNS)
    assert observation_space(market).shape == (4 + len(ACCOUNT_COLUMNS),)


def seconds(times: list[float], prices: list[tuple[float, float, float, float]]) -> BarArrays:
    """Finer bars that open `times` minutes after the first bar of a market."""
    open_time_ms = FIRST_MS + (MINUTE_MS * np.array(times)).astype(np.int64)
    return BarArrays(open_time_ms, *np.array(prices, dtype=float).T.copy(), *[np.ones(len(times))] * 5)


CALM_SECOND = (1000.0, 1000.5, 999.5, 1000.0)


def test_finer_bars_are_filed_by_their_bar() -> None:
    minutes = np.array([0, 1, 2, 3, 10, 11, 12, 13])
    times = [-0.5, 0.0, 0.5, 2.25, 5.0, 11.0, 11.999, 13.5, 14.0]
    market = build_market(CALM, minutes=minutes, finer=seconds(times, [CALM_SECOND] * 9))
    assert len(market.finer) == 6  # those before, after and in the gap belong to no bar
    assert market.calendar[:, 2].tolist() == [0, 2, 2, 3, 3, 3, 5, 5]
    assert build_market(CALM).finer.shape == (0, 4)


@pytest.mark.parametrize(
    ("times", "prices", "said"),
    [
        ([2.0], [(1000.0, 1001.5, 999.0, 1000.0)], "row 2: a finer bar leaves the range of its bar"),
        ([4.5], [(1000.0, 1001.0, 998.5, 1000.0)], "row 4: a finer bar leaves the range of its bar"),
        ([1.5, 1.0], [CALM_SECOND] * 2, "finer bars, row 1: the time does not rise"),
        ([1.5, 1.5], [CALM_SECOND] * 2, "finer bars, row 1: the time does not rise"),
        ([1.0, 1.5], [CALM_SECOND, (1000.0, 999.8, 999.5, 1000.0)], "finer bars, row 1: .* are not a bar"),
        ([1.0], [(np.nan, 1000.5, 999.5, 1000.0)], "finer bars, row 0: .* are not a bar"),
    ],
)
def test_finer_bars_that_cannot_be_are_named(times: list, prices: list, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_market(CALM, finer=seconds(times, prices))


@pytest.mark.parametrize(("start", "stop"), [(0, 120), (37, 200), (150, 300)])
def test_a_slice_trades_as_a_market_of_its_own(start: int, stop: int) -> None:
    """Finer bars, funding, days and costs move with the rows: copies that know nothing of the rest agree."""
    market = rich_market(9, 300)
    part = market.slice(start, stop)
    first, last = (int(market.calendar[row, 2]) if row < 300 else len(market.finer) for row in (start, stop))
    calendar = market.calendar[start:stop].copy()
    calendar[:, 2] -= first
    alone = Market(
        market.symbol,
        market.instrument,
        market.interval_ms,
        part.open_time_ms.copy(),
        market.prices[start:stop].copy(),
        calendar,
        market.finer[first:last].copy(),
        market.observations[start:stop].copy(),
        market.columns,
        np.minimum(market.segment_stop[start:stop], stop) - start,
    )
    orders = varied_orders(np.random.default_rng(0), stop - start)
    config = MarketConfig(trailing_bps=20.0)
    ours, own = (Backtest(one, config).replay(orders) for one in (part, alone))
    np.testing.assert_array_equal(ours.equity, own.equity)
    assert ours.trades.equals(own.trades)
    assert ours.costs.resolved[0] + ours.costs.ambiguous[0] > 0
    assert part.funded == bool(calendar[:, 0].any())


def test_a_slice_of_a_slice_is_a_slice() -> None:
    market = rich_market(9, 300)
    once, twice = market.slice(60, 160), market.slice(20, 250).slice(40, 140)
    for name in ("open_time_ms", "prices", "calendar", "finer", "segment_stop"):
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))
