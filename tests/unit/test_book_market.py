"""The book market's rules one by one, on tapes written by hand; docs/book.md has the plain cases."""

import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.book.columns import FIRST, KNOWN, STOP, TAKER
from envs.book.config import BookConfig
from envs.book.env import BookEnv, BookVectorEnv
from envs.book.market import BookMarket, decision_times
from envs.book.recording import join_recording
from envs.config import MarketConfig, RiskLimits
from envs.registration import BOOK_ENV_ID
from features.book.catalogue import BOOK_FIELDS
from tests.book_market_tools import (
    INF,
    PERPETUAL,
    START_MS,
    TRADE_FIELDS,
    as_events,
    build,
    fills_of,
    ladder,
    random_recording,
    record,
    replay,
    tape_market,
)

CALM = (-10, "99.9x20 99.8x20", "100.0x20 100.1x20")
LONG, SHORT, FLAT = [1.0, INF, INF, INF], [-1.0, INF, INF, INF], [0.0, INF, INF, INF]
BID = [1.0, INF, INF, INF, 0.0]
KEEP = [np.nan, INF, INF, INF]


def test_shorts_mirror_longs() -> None:
    market = tape_market(CALM, (1_500, "buy", 100.0, 19.0))
    assert fills_of(replay(market, [[-1.0, INF, 25.0, INF]], 500.0)) == [
        (1_100, -5.0, 99.9, False, "none"),
        (2_100, 5.0, 100.08, False, "signal"),
    ]
    # 99.9 and 25 bps are 100.2 on the tick: the stop is met, and finds nothing until a book shows some again.
    market = tape_market(CALM, (1_500, "buy", 100.2, 19.0), (1_600, "100.1x9", "100.2x3 100.3x9"))
    assert fills_of(replay(market, [[-1.0, INF, 25.0, INF]], 500.0)) == [
        (1_100, -5.0, 99.9, False, "none"),
        (1_600, 5.0, 100.24, False, "stop_loss"),
    ]
    offer = [-1.0, INF, INF, INF, 0.0]
    market = tape_market((-10, "99.9x20", "100.0x2 100.1x20"), (1_200, "buy", 100.0, 3.0), (1_300, "buy", 100.1, 0.5))
    assert fills_of(replay(market, [offer, KEEP], 500.0))[:2] == [
        (1_200, -1.0, 100.0, True, "none"),
        (1_300, -0.5, 100.0, True, "none"),
    ]


def test_an_order_meets_the_book_of_its_arrival_not_of_its_decision() -> None:
    moved = (CALM, (1_050, "98.9x20", "99.0x20"), (1_150, "97.9x20", "98.0x20"))
    market = tape_market(*moved)
    assert fills_of(replay(market, [LONG], 500.0))[0][:3] == (1_100, 5.04, 99.0)
    assert fills_of(replay(market, [LONG], 500.0, latency_ms=0.0))[0][:3] == (1_000, 4.99, 100.0)
    assert fills_of(replay(market, [LONG], 500.0, latency_ms=150.0))[0][:3] == (1_150, 5.09, 98.0)


def test_a_reversal_sells_twice_and_a_time_out_uses_up_its_step() -> None:
    fills = fills_of(replay(tape_market(CALM), [LONG, SHORT], 500.0))
    assert [fill[0] for fill in fills] == [1_100, 2_100, 2_100, 3_100]
    assert [np.sign(fill[1]) for fill in fills] == [1, -1, -1, 1]
    timed = [1.0, INF, INF, 1.0]
    fills = fills_of(replay(tape_market(CALM, end=6_000.0), [timed] * 5, 500.0))
    assert [(fill[0], fill[4]) for fill in fills] == [
        (1_100, "none"),
        (2_100, "time_out"),
        (3_100, "none"),
        (4_100, "time_out"),
        (5_100, "none"),
        (6_000, "end"),
    ]


def test_what_the_lane_took_is_not_there_again_until_the_next_book() -> None:
    shallow = ("99.9x6 99.8x1", "100.0x20")
    fills = fills_of(replay(tape_market((-10, *shallow)), [LONG, SHORT, SHORT], 500.0))
    assert fills[:3] == [
        (1_100, 4.99, 100.0, False, "none"),
        (2_100, -4.99, 99.9, False, "signal"),
        (2_100, -2.01, round((1.01 * 99.9 + 99.8) / 2.01, 8), False, "none"),
    ]
    fills = fills_of(replay(tape_market((-10, *shallow), (2_100, *shallow)), [LONG, SHORT, SHORT], 500.0))
    assert fills[2][:2] == (2_100, -2.01)
    fills = fills_of(replay(tape_market((-10, *shallow), (2_150, *shallow)), [LONG, FLAT, SHORT], 500.0))
    assert fills[2][:3] == (3_100, -4.99, 99.9)


def test_nothing_is_sold_short_on_spot() -> None:
    spot = Instrument("SPOT", 0.1, 0.01, 5.0, 10.0, 10.0, "spot")
    assert fills_of(replay(tape_market(CALM, instrument=spot), [SHORT, SHORT])) == []


def test_what_came_while_an_order_was_under_way_uses_up_the_decision() -> None:
    stopped = [1.0, INF, 10.0, INF]
    market = tape_market(CALM, (2_050, "99.7x20", "99.8x20"))
    # Stopped out at 2050; the decision of 2000 to reverse arrives at 2100 and does nothing.
    assert [fill[4] for fill in fills_of(replay(market, [stopped, SHORT], 500.0))] == ["none", "stop_loss"]
    # The bid is hit at 2050; the decision of 2000 to be flat cancels what is left, and closes a step later.
    market = tape_market((-10, "99.9x1 99.8x9", "100.0x20"), (2_050, "sell", 99.9, 2.0), (2_500, "sell", 99.9, 9.0))
    assert fills_of(replay(market, [BID], 500.0)) == [
        (2_050, 1.0, 99.9, True, "none"),
        (3_100, -1.0, 99.8, False, "signal"),
    ]


def test_a_queue_beyond_the_ten_levels_has_no_end_until_they_reach_it() -> None:
    far = [1.0, INF, INF, INF, 20.0]  # 99.9 less 20 bps: 99.7
    tail = ((1_700, "sell", 99.7, 4.0),)
    ten = " ".join(f"{99.9 - 0.01 * k:.2f}x1" for k in range(10))
    # A book of less than ten levels is whole: nothing is ahead at 99.7.
    short = replay(tape_market(CALM, *tail), [far, KEEP], 300.0)
    assert fills_of(short)[0][:3] == (1_700, 3.0, 99.7)
    assert fills_of(replay(tape_market((-10, ten, "100.0x20"), *tail), [far, KEEP], 300.0)) == []
    shown = (1_500, "99.8x1 99.7x3", "100.0x20")
    seen = replay(tape_market((-10, ten, "100.0x20"), shown, *tail), [far, KEEP], 300.0)
    assert fills_of(seen)[0][:3] == (1_700, 1.0, 99.7)


def test_a_crossing_book_fills_what_it_shows() -> None:
    market = tape_market((-10, "99.9x50", "100.0x20"), (1_500, "99.7x9", "99.8x1 99.9x1.5 100.0x9"))
    assert fills_of(replay(market, [BID], 500.0))[0] == (1_500, 2.5, 99.9, True, "none")


def test_a_stop_is_met_by_the_price_to_leave_at() -> None:
    stopped = [1.0, INF, 20.0, INF]  # 99.8
    market = tape_market(CALM, (1_400, "99.9x20", "99.95x20"), (1_500, "99.7x20", "100.0x20"))
    assert fills_of(replay(market, [stopped], 500.0))[1] == (1_500, -4.99, 99.7, False, "stop_loss")


def test_a_larger_take_profit_goes_to_the_back_of_its_queue() -> None:
    bid = [1.0, 20.0, INF, INF, 0.0]  # 99.9 and 20 bps: 100.1
    tape = (
        (-10, "99.9x0.5 99.8x9", "100.0x20 100.1x2"),
        (1_200, "sell", 99.9, 1.5),
        (1_300, "buy", 100.1, 1.5),
        (1_400, "sell", 99.9, 1.0),
        (1_500, "buy", 100.1, 1.5),
        (1_600, "buy", 100.1, 1.5),
    )
    fills = fills_of(replay(tape_market(*tape), [bid], 500.0))
    # 0.5 were ahead after 1300; the part filled at 1400 puts 2 ahead again, of which 0.5 are left after 1500.
    assert fills[:3] == [
        (1_200, 1.0, 99.9, True, "none"),
        (1_400, 1.0, 99.9, True, "none"),
        (1_600, -1.0, 100.1, True, "take_profit"),
    ]


def test_nan_leaves_what_is_held_and_what_rests() -> None:
    market = tape_market((-10, "99.9x1", "100.0x20"), (2_500, "sell", 99.9, 2.0), end=5_000.0)
    assert fills_of(replay(market, [BID, KEEP, KEEP, KEEP], 500.0))[0] == (2_500, 1.0, 99.9, True, "none")
    assert replay(market, [BID, KEEP, KEEP, KEEP], 500.0).position[-2, 0] == 1.0


def test_a_market_order_replaces_a_resting_one_and_a_limit_order_expires() -> None:
    fills = fills_of(replay(tape_market(CALM), [BID, LONG], 500.0))
    assert fills[0] == (2_100, 4.99, 100.0, False, "none")
    result = replay(tape_market(CALM, end=6_000.0), [BID, KEEP, KEEP, KEEP], 500.0, limit_ttl_bars=2.0)
    assert result.costs.expired.tolist() == [1]


def test_liquidation_takes_its_own_fee() -> None:
    margined = replace(PERPETUAL, maintenance_margin=0.05, liquidation_fee_bps=100.0)
    market = tape_market(CALM, (1_500, "91.0x90", "91.1x20"), instrument=margined)
    result = replay(market, [LONG, LONG], 500.0, leverage=10.0, stop_out_fraction=0.01)
    fill = result.fills.to_pylist()[1]
    assert fill["reason"] == "liquidation"
    assert fill["fee"] == pytest.approx(fill["qty"] * 91.0 * (5.0 + 100.0) * 1e-4, rel=1e-12)
    assert result.costs.liquidated.sum() == 1


def test_inverse_contracts_average_in_their_own_currency() -> None:
    inverse = Instrument("COIN", 0.1, 1.0, 0.0, 2.0, 5.0, "inverse")
    market = tape_market((-10, "99.0x900", "100.0x30 125.0x900"), instrument=inverse)
    fill = replay(market, [LONG], 0.6).fills.to_pylist()[0]
    # 60 quote units at 1/100 and the rest at 1/125 of a coin: sizes add up in coins, not in prices.
    rest = fill["qty"] - 30.0
    assert fill["price"] == pytest.approx(fill["qty"] / (30.0 / 100.0 + rest / 125.0), rel=1e-12)


def test_breakers_hold_as_for_bars() -> None:
    market = tape_market(CALM, (1_500, "98.9x20", "99.0x20"), end=8_000.0)
    result = replay(market, [LONG] * 6, 1_000.0, risk=RiskLimits(drawdown=0.005))
    assert [fill[4] for fill in fills_of(result)] == ["none", "risk"]


def test_a_ruined_account_is_closed_and_stays_flat() -> None:
    market = tape_market(CALM, (1_500, "40.0x1 39.0x90", "40.1x20"), end=5_000.0)
    result = replay(market, [LONG] * 4, 500.0, leverage=2.0, stop_out_fraction=0.5)
    assert [fill[4] for fill in fills_of(result)] == ["none", "ruin"]
    assert result.ruined.tolist() == [True]
    assert result.position[-1, 0] == 0.0


def test_the_account_sees_books_when_they_were_received() -> None:
    late = [
        (ms, ladder("99.9x9", f"{ask}x9")) for ms, ask in ((-10, 100.0), (500, 102.0), (990, 104.0), (9_000, 104.0))
    ]
    books = as_events([ms for ms, _ in late], np.array([row for _, row in late]), BOOK_FIELDS, late_ms=30.0)
    trades = as_events([100.0], np.array([[100.0, 1.0, 0.0]]), TRADE_FIELDS)  # received at once: the clocks agree
    recording = join_recording(trades, books, max_silence_ms=60_000)
    assert recording.clock_ahead_ns == 0
    market = build(recording)
    first = int(market.open_time_ms[0]) - START_MS
    assert first == 1_000  # at 0 the book of -10 was still under way
    known = {int(ms) - START_MS: row for ms, row in zip(market.open_time_ms, market.schedule[:, KNOWN], strict=True)}
    assert known[1_000] == 2
    assert decision_times(recording, 1_000).known[0].tolist() == [1, 2]  # at 1000, that of 990 was under way


def test_gaps_leave_no_row_and_missing_trades_are_gaps() -> None:
    times = np.arange(-10.0, 20_000.0, 100.0)
    books = as_events(times, np.tile(ladder("99.9x9", "100.0x9"), (len(times), 1)), BOOK_FIELDS)
    prices = np.tile([100.0, 1.0, 0.0], (3, 1))
    trades = as_events([2_500.0, 7_300.0, 9_100.0], prices, TRADE_FIELDS)
    whole = build(join_recording(trades, books))
    broken = build(join_recording(trades, books, breaks=np.array([1])))
    missing = set(whole.open_time_ms.tolist()) - set(broken.open_time_ms.tolist())
    assert sorted(time - START_MS for time in missing) == [2_000, 3_000, 4_000, 5_000, 6_000, 7_000]
    assert broken.tradable.sum() == whole.tradable.sum() - 7


def test_an_exit_cancels_what_is_left_of_the_entry() -> None:
    tape = (
        (-10, "99.9x1 99.8x9", "100.0x20"),
        (1_200, "sell", 99.9, 2.0),
        (1_300, "sell", 99.8, 1.0),  # through the bid, and at the stop
        (1_400, "99.9x1 99.8x9", "100.0x20"),
        (1_500, "sell", 99.8, 5.0),
    )
    assert fills_of(replay(tape_market(*tape), [[1.0, INF, 10.0, INF, 0.0]], 500.0)) == [
        (1_200, 1.0, 99.9, True, "none"),
        (1_300, 1.0, 99.9, True, "none"),
        (1_300, -2.0, 99.8, False, "stop_loss"),
    ]


def test_trades_come_before_a_book_of_their_time() -> None:
    tied = record(CALM, (500, "99.9x1", "100.0x1"), (500, "buy", 100.0, 1.0))
    assert tied.events[:, TAKER].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_an_entry_does_not_rest_over_a_gap() -> None:
    tape = ((-10, "99.9x20", "100.0x20"), (2_900, "99.9x20", "100.0x20"), (9_500, "99.0x20", "99.1x20"))
    market = tape_market(*tape, (10_050, "sell", 98.0, 5.0), end=12_000.0, max_silence_ms=5_000)
    assert fills_of(replay(market, [BID, BID], 500.0)) == []


@pytest.mark.parametrize(
    ("bids", "asks", "what"),
    [
        ("100.0x1", "100.0x1", "crossed"),
        ("99.9x1 99.9x1", "100.0x1", "out of order"),
        ("99.9x1", "100.0x1 99.95x1", "out of order"),
        ("99.9x0", "100.0x1", "side is empty"),
        ("99.9x-1", "100.0x1", "size is negative"),
        ("-1x1", "100.0x1", "price is not positive"),
        ("99.9x1 99.8x0 99.7x1", "100.0x1", "level is missing"),
    ],
)
def test_books_that_cannot_be_are_refused(bids: str, asks: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        record(CALM, (500, bids, asks))
    assert "books, row 1" in str(caught.value)


def test_an_exit_closes_no_other_position_than_it_was_decided_for() -> None:
    """At 6000 the long is still held; the order of 5000 reverses it first, and the short stays."""
    orders = [LONG, KEEP, KEEP, KEEP, SHORT, FLAT, KEEP, KEEP, KEEP]
    market = tape_market(CALM, (7_500, "99.9x20", "100.0x20"), end=9_000.0)
    fills = fills_of(replay(market, orders, 500.0, latency_ms=2_100.0))
    assert [(ms, np.sign(size), reason) for ms, size, _, _, reason in fills] == [
        (3_100, 1, "none"),
        (7_100, -1, "signal"),
        (7_100, -1, "none"),
        (9_000, 1, "end"),
    ]


def test_a_ruined_account_takes_no_order_that_is_under_way() -> None:
    tape = [(-10, "99.9x1", "100.0x20"), (3_200, "sell", 99.9, 9.0), (3_500, "90.0x20", "90.1x20")]
    settings = {"capital": 500.0, "latency_ms": 2_100.0, "stop_out_fraction": 0.95}
    fills = fills_of(replay(tape_market(*tape, end=9_000.0), [BID, LONG, LONG], **settings))
    assert [(ms, reason) for ms, *_, reason in fills] == [(3_200, "none"), (4_000, "ruin")]


def test_the_collar_is_around_the_price_of_the_decision() -> None:
    market = tape_market(CALM, (1_500, "101.0x20", "101.1x20"), end=6_000.0)
    settings = {"latency_ms": 2_100.0, "risk": RiskLimits(price_collar_bps=50.0)}
    result = replay(market, [LONG], **settings)
    assert result.costs.refused.tolist() == [1]
    assert not fills_of(result)
    assert fills_of(replay(market, [FLAT, LONG], **settings))[0][0] == 4_100


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="trades, row 0"):
        record(CALM, (100, "buy", 100.0, 0.0))
    with pytest.raises(InputError, match="whole steps"):
        decision_times(record(CALM, end=900.0), 1_000)
    with pytest.raises(InputError, match="queue"):
        BookConfig(queue="fifo")  # type: ignore[arg-type]
    market = tape_market(CALM)
    with pytest.raises(InputError, match=r"latency_ms 33000 is 33 steps of 1000 ms.*use steps of 1001 ms or more"):
        replay(market, [LONG], latency_ms=33_000.0)
    assert not fills_of(replay(market, [LONG], latency_ms=32_999.0))
    with pytest.raises(InputError, match="not of the book mode"):
        BookEnv(market, MarketConfig())  # type: ignore[arg-type]


def test_a_book_market_is_saved_and_cut_like_any_other(tmp_path) -> None:
    market = build(random_recording(3))
    again = BookMarket.load(market.save(tmp_path / "book"))
    for name in BookMarket.ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(market, name))
    part = market.slice(10, 30)
    assert isinstance(part, BookMarket)
    np.testing.assert_array_equal(part.schedule, market.schedule[10:30])
    assert part.schedule[1, FIRST] == part.schedule[0, STOP]


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_check_env_has_nothing_to_say(mode: str) -> None:
    market = build(random_recording(4, seconds=90, gap=True))
    config = BookConfig(action_mode=mode, episode_bars=20, min_episode_bars=5, limit_offset_bps=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(f"envs.registration:{BOOK_ENV_ID}", market=market, config=config).unwrapped)


def test_episodes_cross_no_gap_and_seeds_repeat() -> None:
    market = build(random_recording(5, seconds=90, gap=True))
    config = BookConfig(episode_bars=30, min_episode_bars=5)
    runs = []
    for _ in range(2):
        env = BookEnv(market, config)
        rng, seen = np.random.default_rng(0), []
        observation, _ = env.reset(seed=11)
        for _ in range(300):
            seen.append(observation)
            observation, reward, terminated, truncated, _ = env.step(int(rng.integers(3)))
            seen.append(np.array([reward]))
            if terminated or truncated:
                observation, info = env.reset()
                start = int(np.searchsorted(market.open_time_ms, info["start_time_ms"]))
                assert market.segment_stop[start] > start + 5
        runs.append(np.concatenate(seen))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_an_episode_begins_with_nothing_under_way() -> None:
    """Long at the last two of eight steps: an order that needs 2.3 s never arrives, not in the next episode either."""
    market, earned = build(random_recording(6)), {}
    for latency_ms in (100.0, 2_300.0):
        env = BookEnv(market, BookConfig(latency_ms=latency_ms, episode_bars=8, min_episode_bars=8))
        rewards = []
        for episode in range(5):
            env.reset(seed=episode)
            rewards += [env.step(int(step >= 6))[1] for step in range(8)]
        earned[latency_ms] = np.array(rewards)
    assert (earned[100.0] != 0.0).sum() >= 10
    assert not earned[2_300.0].any()


@pytest.mark.parametrize("latency_ms", [100.0, 2_300.0])
def test_the_vector_env_steps_the_lanes_of_the_single_one(latency_ms: float) -> None:
    market = build(random_recording(6))
    config = BookConfig(episode_bars=20, min_episode_bars=5, limit_offset_bps=0.0, latency_ms=latency_ms)
    env, vector = BookEnv(market, config), BookVectorEnv(3, market, config)
    np.testing.assert_array_equal(env.reset(seed=3)[0], vector.reset(seed=3)[0][0])
    rng = np.random.default_rng(1)
    for _ in range(19):
        action = int(rng.integers(3))
        one, many = env.step(action), vector.step(np.array([action, 0, 2]))
        np.testing.assert_array_equal(one[0], many[0][0])
        assert one[1] == many[1][0]
