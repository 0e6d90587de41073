"""A live session and the backtest are the same machine: features and account to the bit, predictions to rounding."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config import NetworkConfig
from agents.policy import TorchPolicy
from agents.policy_network import PolicyNetwork
from data_pipeline.schema import BarArrays
from envs import lanes
from envs.backtest import Backtest
from envs.batch import LaneBatch
from envs.config import MarketConfig, RiskLimits
from envs.costs import TradingCosts
from envs.kernel import open_lanes
from envs.market import Market
from envs.observation import observation_columns
from envs.rules import ThresholdRule
from envs.spread import half_spread_of_bars
from evaluation.observations import build_market
from features.scaling import Scaler
from live.account import PaperAccount
from live.feed import ClosedBar
from live.session import PaperSession
from live.trained_run import TrainedRun, load_run
from supervised.fold_store import load_fold
from supervised.meta import Ensemble
from supervised.online.config import LearningConfig
from supervised.online.fold import OnlineFold
from supervised.online.run import LabelArrays, run_online
from tests.live_tools import LEARNING, ROWS, SECOND_GAP, TEST_BEGINS, LiveRun
from tests.market_tools import FIRST_MS, MINUTE_MS, PERPETUAL, SPOT, random_bars, random_orders

PREDICTION_TOLERANCE = 1e-5


class Recorder:
    """A policy that remembers what it was shown and what it did."""

    def __init__(self, policy) -> None:
        self.policy, self.shown, self.did, self.remembered = policy, [], [], []
        self.state_size = getattr(policy, "state_size", 0)

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.shown.append(observations[0].copy())
        self.did.append(np.array(self.policy.act(observations)[0]))
        return self.did[-1][None]

    def respond(self, observations: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shown.append(observations[0].copy())
        actions, memory = self.policy.respond(observations, memory)
        self.did.append(actions[0].copy())
        self.remembered.append(memory[0].copy())
        return actions, memory


def run_at_test_begin(live_run: LiveRun) -> TrainedRun:
    """The run with its ensemble as it stood before the test days."""
    run = load_run(live_run.path, policy=live_run.policy)
    members = tuple(model.kind for model in LEARNING.models)
    ensemble = Ensemble.start(LEARNING.ensemble, LEARNING.horizons, members, run.fold.feature_names)
    symbol, before = live_run.symbol, slice(0, TEST_BEGINS)
    said = live_run.predictions.values[before, : len(LEARNING.horizons) * len(members)]
    folds = [load_fold(live_run.path / "predictions" / symbol.slug, number) for number in range(LEARNING.folds)]
    scaled = np.stack([fold.scaler.transform(symbol.features[before]) for fold in folds])
    ensemble.run(
        said.reshape(TEST_BEGINS, len(LEARNING.horizons), len(members)),
        scaled[live_run.predictions.fold[before], np.arange(TEST_BEGINS)],
        symbol.labels_bps[before],
        symbol.label_ends[before],
    )
    return replace(run, ensemble=ensemble)


def with_rule(run: TrainedRun, market: Market) -> TrainedRun:
    """A rule on the ensemble's column in place of the policy, with other actions and brackets."""
    config = MarketConfig(half_spread_bps=0.1, default_tp_bps=15.0, default_sl_bps=15.0, ttl_bars=8)
    rule = ThresholdRule("p_up_ensemble_h2", 0.5, columns=observation_columns(market), config=config)
    return replace(run, policy=rule, config=config)


def with_memory(run: TrainedRun, encoder: str) -> TrainedRun:
    """A network that remembers in place of the policy, with random weights."""
    spec = replace(run.policy.spec, network=NetworkConfig((8,), encoder, encoder_width=8, window=16))
    random = torch.Generator().manual_seed(6)
    shapes = PolicyNetwork(spec).state_dict()
    weights = {name: torch.randn(value.shape, generator=random).mul(0.5).numpy() for name, value in shapes.items()}
    return replace(run, policy=TorchPolicy(spec, weights))


@pytest.mark.parametrize("kind", ["network", "gru", "rule", "rule and spread of bars"])
def test_a_session_over_the_test_days_is_the_backtest(live_run: LiveRun, kind: str, tmp_path: Path) -> None:
    run = run_at_test_begin(live_run)
    if kind == "rule and spread of bars":
        modelled = build_market(live_run.symbol, live_run.predictions, tmp_path, spread="bars")
        run = replace(run, market=modelled)
    market = run.market.slice(TEST_BEGINS, ROWS)
    if kind == "gru":
        run = with_memory(run, kind)
    elif kind != "network":
        run = with_rule(run, market)

    research = Recorder(run.policy)
    wanted = Backtest(market, run.config).run(research)

    live = Recorder(run.policy)
    session = PaperSession(replace(run, policy=live))
    steps, features = [], []
    for number, bar in enumerate(live_run.bars()):
        if number == SECOND_GAP - TEST_BEGINS + 200:  # stopped and taken up again
            session.save(tmp_path / "session.npz")
            session, _ = PaperSession.restore(session.run, tmp_path / "session.npz")
        steps.append(session.on_bar(bar))
        features.append(session.predictor.state()["features"][-1])

    # Features: the same bits.
    np.testing.assert_array_equal(np.array(features), live_run.symbol.features[TEST_BEGINS:])

    # Predictions: the models sum over another number of rows at a time, and an LSTM is warmed up by its window only.
    said = np.array([list(step.predictions.values()) for step in steps], dtype=np.float64)
    expected = live_run.predictions.values[TEST_BEGINS:]
    np.testing.assert_array_equal(np.isnan(said), np.isnan(expected))
    assert np.nanmax(np.abs(said - expected)) <= PREDICTION_TOLERANCE
    assert np.nanstd(expected, axis=0).min() > 100 * PREDICTION_TOLERANCE  # the models do say different things

    # Decisions: none of these days has a probability so close to a threshold that rounding decides.
    # The session asks nothing at its first bar, whatever a policy with memory makes of it later, but asks at its last
    # bar, on which the backtest has nothing left to decide.
    first = 0 if live.state_size else 1
    did, wanted_actions = np.array(live.did[:-1]), np.array(research.did[first:])
    assert int((did != wanted_actions).sum()) == 0
    assert len(np.unique(did.reshape(len(did), -1), axis=0)) > 1
    if live.state_size:
        remembered, expected_memory = np.array(live.remembered[:-1]), np.array(research.remembered)
        np.testing.assert_allclose(remembered, expected_memory, atol=5e-3)  # it sees predictions to rounding only
        assert expected_memory.std(axis=0).min() > 0.05
    np.testing.assert_array_equal([step.ready for step in steps[:-1]], np.isfinite(expected).all(axis=1)[:-1])

    # Account: with the same decisions, the same bits, gap included. (The backtest closes at its last bar.)
    np.testing.assert_array_equal([step.equity for step in steps[1:-1]], wanted.equity[1:-1, 0])
    np.testing.assert_array_equal([step.position for step in steps[1:-1]], wanted.position[1:-1, 0])
    trades = [trade for step in steps for trade in step.trades]
    expected_trades = [row for row in wanted.trades.drop(["lane"]).to_pylist() if row["exit_reason"] != "end"]
    assert trades == expected_trades
    assert len(trades) > 20
    gap = steps[SECOND_GAP - TEST_BEGINS]
    assert gap.gap
    assert gap.position == 0.0
    assert not gap.ready


def test_a_policy_that_sees_everything_sees_the_same_live(live_run: LiveRun, tmp_path: Path) -> None:
    """Sizes, outcomes and uncertainties in the observation, from the models' mouth to the scaled row."""
    whole = build_market(live_run.symbol, live_run.predictions, tmp_path, further=True)
    run = with_rule(run_at_test_begin(live_run), whole)
    scaler = Scaler.from_dict(json.loads((tmp_path / live_run.symbol.slug / "scaler.json").read_text()))
    research, live = Recorder(run.policy), Recorder(run.policy)
    Backtest(whole.slice(TEST_BEGINS, ROWS), run.config).run(research)
    session = PaperSession(replace(run, policy=live, columns=whole.columns, scaler=scaler, market=whole))
    for bar in live_run.bars(stop=TEST_BEGINS + 250):
        session.on_bar(bar)
    assert len(whole.columns) > len(live_run.market.columns)
    # The session asks nothing at its first bar.
    shown, wanted = np.array(live.shown), np.array(research.shown)[1 : 1 + len(live.shown)]
    assert np.isfinite(shown[-1]).all()
    np.testing.assert_allclose(shown, wanted, atol=2e-3)


def test_the_ensemble_learns_live_as_in_research(live_run: LiveRun) -> None:
    run = run_at_test_begin(live_run)
    session = PaperSession(run)
    for bar in live_run.bars():
        session.on_bar(bar)
    learned, stored = session.predictor.members.ensemble, load_run(live_run.path, policy=live_run.policy).ensemble
    assert learned.gate is not None
    assert stored.gate is not None
    np.testing.assert_allclose(learned.hedge.weights(), stored.hedge.weights(), rtol=1e-3)
    np.testing.assert_allclose(learned.gate.weights, stored.gate.weights, rtol=1e-2, atol=1e-4)
    assert not np.allclose(learned.hedge.weights(), run.ensemble.hedge.weights(), rtol=1e-2)


@pytest.mark.slow
def test_models_that_learn_on_live_are_those_of_research_to_the_bit(live_run: LiveRun, tmp_path: Path) -> None:
    """Bar by bar over a gap, updated in a second thread, stopped and restored while an update is on its way."""
    learning = LearningConfig(update_every=16, swap_after=5, learning_rate=1e-2, guard_rows=200)
    run, stop = load_run(live_run.path, policy=live_run.policy), SECOND_GAP + 110
    symbol = live_run.symbol
    labels = LabelArrays(symbol.labels_bps, symbol.label_ends)
    research = OnlineFold(run.fold, run.ensemble, learning)
    wanted = run_online(research, symbol.features, labels, symbol.segments, TEST_BEGINS, stop, one_by_one=True)
    session = PaperSession(run, learning=replace(learning, background=True))
    shown = []
    for number, bar in enumerate(live_run.bars(stop=stop)):
        if number == 210:  # an update began at the end of row 207
            session.save(tmp_path / "state.npz")
            session.predictor.members.close()
            session, _ = PaperSession.restore(run, tmp_path / "state.npz")
        step = session.on_bar(bar)
        shown.append([np.nan if value is None else value for value in step.predictions.values()])
    for learner in session.predictor.members.learners.values():
        assert learner.counts.swaps > 15
    said = np.concatenate([wanted.serving.reshape(len(shown), -1), wanted.mixture], axis=1).astype(np.float32)
    rounded = [[round(float(p), 7) for p in row] for row in said]
    np.testing.assert_array_equal(np.array(shown)[:, : said.shape[1]], rounded)
    assert np.nanmax(np.abs(wanted.serving - wanted.frozen)) > 0.02
    live, expected = session.predictor.members.state(), research.state()
    session.predictor.members.close()
    assert live.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(live[name], value, err_msg=name)


BREAKERS = (
    RiskLimits(),
    RiskLimits(losing_streak=2, cool_down_bars=5, exposure=0.3),
    RiskLimits(volatility_multiple=2.0, cool_down_bars=3, daily_loss=0.05),
)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    spot=st.booleans(),
    capital=st.sampled_from([40.0, 10_000.0]),
    risk=st.sampled_from(BREAKERS),
    spread_of_bars=st.booleans(),
)
def test_the_account_is_a_lane_of_the_backtest(
    seed: int, spot: bool, capital: float, risk: RiskLimits, spread_of_bars: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows, instrument = 160, SPOT if spot else PERPETUAL
    minutes = np.cumsum(1 + (rng.random(rows) < 0.04) * rng.integers(1, 50, rows))
    prices = random_bars(rng, rows)
    known = rng.normal(size=(rows, 2)).astype(np.float32)
    known[rng.random(rows) < 0.05, 1] = np.nan
    times = FIRST_MS + MINUTE_MS * minutes.astype(np.int64)
    arrays = BarArrays(
        times, *(np.ascontiguousarray(column) for column in prices.T), *(np.ones(rows) for _ in range(5))
    )
    costs = TradingCosts(half_spread_of_bars(arrays, instrument) if spread_of_bars else None)
    market = Market.build(arrays, known, ("a", "b"), instrument, costs=costs)
    config = MarketConfig(stop_out_fraction=0.9, risk=risk)
    orders = random_orders(rng, rows)
    wanted = Backtest(market, config, [capital]).replay(orders)
    shown = _shown(market, config, orders, capital)

    account = PaperAccount(instrument, ("a", "b"), config, MINUTE_MS, capital, spread_of_bars=spread_of_bars)
    trades, equity, position, bought = [], [], [], 0.0
    for t in range(rows):
        if t == rows // 2:  # stopped and taken up again
            saved = {name: values.copy() for name, values in account.state().items()}
            account = PaperAccount(instrument, ("a", "b"), config, MINUTE_MS, capital, spread_of_bars=spread_of_bars)
            account.restore(saved)
        bar = ClosedBar(int(times[t]), *prices[t].tolist(), volume=1.0)
        moved = account.step(bar, known[t], orders[t - 1])
        if moved.observation is not None:
            np.testing.assert_array_equal(moved.observation[0], shown[t])
        trades += moved.trades
        bought += sum(fill.qty * fill.side * (1 if fill.kind == "entry" else -1) for fill in moved.fills)
        equity.append(account.money(lanes.EQUITY))
        position.append(account.money(lanes.QTY))
        assert bought == pytest.approx(position[-1], abs=1e-9)
    np.testing.assert_array_equal(equity[1:-1], wanted.equity[1:-1, 0])
    np.testing.assert_array_equal(position[1:-1], wanted.position[1:-1, 0])
    assert trades == [row for row in wanted.trades.drop(["lane"]).to_pylist() if row["exit_reason"] != "end"]


def _shown(market: Market, config: MarketConfig, orders: np.ndarray, capital: float) -> np.ndarray:
    """Observations (T, D) of a lane that trades `orders`."""
    batch = LaneBatch(market, config, 1, trade_slots=2)
    open_lanes(batch.state.account, batch.state.clock, np.array([capital]), 0, len(market) - 1)
    shown = np.zeros((len(market), 1, len(observation_columns(market))), dtype=np.float32)
    for row in range(len(market)):
        batch.step(orders[row - 1], shown[row])
    return shown[:, 0]
