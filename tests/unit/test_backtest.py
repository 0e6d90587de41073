"""The backtest's frame: lanes, rules, bad input. Fills are tested against the reference and docs/fills.md."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.observation import observation_columns
from envs.rules import BuyAndHoldRule, FlatRule, ThresholdRule
from envs.trades import TRADE_SCHEMA
from tests.market_tools import build_market, random_market, random_orders


def test_flat_never_trades() -> None:
    market, config = random_market(1, 200), MarketConfig()
    result = Backtest(market, config, (100.0, 1e5)).run(FlatRule(config))
    assert result.trades.num_rows == 0
    assert result.trades.schema.equals(TRADE_SCHEMA)
    assert (result.equity == [100.0, 1e5]).all()
    assert not result.costs.fees.any()


def test_buy_and_hold_is_one_trade_from_first_to_last_bar() -> None:
    market, config = random_market(1, 200, holes=False), MarketConfig().without_barriers()
    result = Backtest(market, config).run(BuyAndHoldRule(config))
    (trade,) = result.trades.to_pylist()
    assert trade["entry_time_ms"] == market.open_time_ms[1]
    assert trade["exit_time_ms"] == market.open_time_ms[-1]
    assert (trade["exit_reason"], trade["bars_held"]) == ("end", 199)
    assert trade["gross_pnl"] == pytest.approx(trade["qty"] * (market.prices[-1, 3] - market.prices[1, 0]))


@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_threshold_rule_enters_holds_and_leaves(mode: str) -> None:
    signal = np.array([0, 0.6, 0.3, 0.2, 0.05, 0, -0.6, -0.2, 0.7, 0.3, 0.3, 0.3])
    market = build_market(np.tile([1000.0, 1000.2, 999.8, 1000.0], (12, 1)), observations=signal[:, None])
    config = MarketConfig(action_mode=mode, default_tp_bps=50.0, default_sl_bps=30.0)
    rule = ThresholdRule("x0", 0.5, 0.1, columns=observation_columns(market), config=config)
    result = Backtest(market, config).run(rule)
    assert np.sign(result.position[:, 0]).tolist() == [0, 0, 1, 1, 1, 0, 0, -1, -1, 1, 1, 0]
    shifted = build_market(np.tile([1000.0, 1000.2, 999.8, 1000.0], (12, 1)), observations=signal[:, None] + 0.5)
    centred = ThresholdRule("x0", 0.5, 0.1, columns=observation_columns(market), config=config, center=0.5)
    assert Backtest(shifted, config).run(centred).trades.equals(result.trades)


class Counter:
    """Remembers how many rows each lane has seen; wants to be long once it has seen three."""

    state_size = 1

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def respond(self, observations: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        memory = memory + np.float32(1.0)
        self.seen.append(memory[:, 0].tolist())
        return (memory[:, 0] >= 3).astype(np.int64), memory


def test_memory_begins_anew_after_a_gap_and_orders_are_recorded() -> None:
    minutes = np.array([0, 1, 2, 3, 9, 10, 11, 12])
    market = build_market(np.tile([1000.0, 1000.2, 999.8, 1000.0], (8, 1)), minutes=minutes)
    orders = np.full((8, 2, 5), np.nan)
    for _ in range(2):  # nothing is left of an earlier backtest
        counter = Counter()
        Backtest(market, MarketConfig(), (1e3, 1e4)).run(counter, orders)  # type: ignore[arg-type]
        assert counter.seen == [[n, n] for n in (1, 2, 3, 4, 1, 2, 3)]
    assert orders[:7, 1, 0].tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert np.isnan(orders[7]).all()


def test_rules_drive_the_env_too() -> None:
    market, config = random_market(2, 300, holes=False), MarketConfig(episode_bars=100)
    rule = ThresholdRule("x1", 0.8, 0.2, columns=observation_columns(market), config=config)
    env = ScalpingEnv(market, config)
    observation, _ = env.reset(seed=0)
    for _ in range(100):
        observation, *_, info = env.step(rule.act(observation[None])[0])
    assert info["account"]["trades"] > 3


def test_rules_refuse_nonsense() -> None:
    columns, config = ("a", "account_side"), MarketConfig()
    with pytest.raises(InputError, match="unknown column 'b'; known: a account_side"):
        ThresholdRule("b", 1.0, columns=columns, config=config)
    with pytest.raises(InputError, match=r"enter 0\.1 is under exit 0\.5"):
        ThresholdRule("a", 0.1, 0.5, columns=columns, config=config)


def test_lanes_are_independent() -> None:
    market = random_market(3, 300)
    orders = random_orders(np.random.default_rng(0), 300, 3)
    together = Backtest(market, MarketConfig(), (100.0, 3_000.0, 1e5)).replay(orders)
    for lane, capital in enumerate((100.0, 3_000.0, 1e5)):
        alone = Backtest(market, MarketConfig(), (capital,)).replay(orders[:, lane : lane + 1])
        np.testing.assert_array_equal(together.equity[:, lane], alone.equity[:, 0])
        of_lane = np.flatnonzero(together.trades["lane"].to_numpy() == lane)
        assert together.trades.take(of_lane).drop_columns("lane").equals(alone.trades.drop_columns("lane"))


def test_results_do_not_depend_on_what_ran_before() -> None:
    market = random_market(3, 300)
    backtest = Backtest(market, MarketConfig())
    orders = random_orders(np.random.default_rng(0), 300)
    first = backtest.replay(orders)
    backtest.replay(orders * [-1, 1, 1, 1, 1])
    again = backtest.replay(orders)
    np.testing.assert_array_equal(first.equity, again.equity)
    assert first.trades.equals(again.trades)


def test_a_policy_may_keep_what_it_saw() -> None:
    market, config = random_market(2, 100), MarketConfig()
    seen = []

    class Watcher(FlatRule):
        def act(self, observations: np.ndarray) -> np.ndarray:
            seen.append(observations)
            return super().act(observations)

    Backtest(market, config).run(Watcher(config))
    np.testing.assert_array_equal(np.concatenate(seen)[:, :3], market.observations[:-1])


def test_orders_may_be_read_only() -> None:
    market = random_market(3, 100)
    orders = np.broadcast_to(np.array([1.0, np.inf, np.inf, np.inf, np.inf]), (100, 2, 5))
    result = Backtest(market, MarketConfig(), (100.0, 1e4)).replay(orders)
    assert (result.position[-2] > 0).all()


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([1.5, 10, 10, 5, np.inf], "row 7, lane 0: order"),
        ([1, 0, 10, 5, np.inf], "row 7, lane 0: order"),
        ([1, 10, -1, 5, np.inf], "row 7, lane 0: order"),
        ([1, 10, 10, 0.5, np.inf], "row 7, lane 0: order"),
        ([1, 10, np.nan, 5, np.inf], "row 7, lane 0: order"),
        ([1, 10, 10, 5, -1.0], "row 7, lane 0: order"),
    ],
)
def test_orders_that_mean_nothing_are_refused(order: list[float], said: str) -> None:
    market = random_market(3, 50)
    orders = np.tile([0.0, 10.0, 10.0, 5.0, np.inf], (50, 1, 1))
    orders[7, 0] = order
    with pytest.raises(InputError, match=said):
        Backtest(market, MarketConfig()).replay(orders)


def test_bad_frames_are_refused() -> None:
    market = random_market(3, 50)
    with pytest.raises(InputError, match=r"orders have shape \(49, 1, 5\), not \(50, 1, 5\)"):
        Backtest(market, MarketConfig()).replay(np.ones((49, 1, 5)))
    with pytest.raises(InputError, match="is a range; pass capitals"):
        Backtest(market, MarketConfig(initial_capital=(100.0, 1_000.0)))
    with pytest.raises(InputError, match="not positive"):
        Backtest(market, MarketConfig(), (100.0, 0.0))
