"""Markets: what may be joined, where trading is possible, saving and slicing."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.market import Market, open_market
from envs.observation import ACCOUNT_COLUMNS, observation_columns, observation_space
from tests.market_tools import PERPETUAL, build_market, random_market

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
    market = random_market(3, 60)
    folder = market.save(tmp_path / "a" / "market")
    again = open_market(folder)
    assert (again.symbol, again.instrument, again.interval_ms, again.columns) == (
        market.symbol,
        market.instrument,
        market.interval_ms,
        market.columns,
    )
    for name in ("open_time_ms", "prices", "observations", "tradable", "segment_stop"):
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
    from data_pipeline.schema import BarArrays

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
