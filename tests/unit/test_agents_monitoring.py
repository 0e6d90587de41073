"""What a run tells: early stop, orders behind actions, figures and pictures of the validation days."""

from __future__ import annotations

import numpy as np
import pytest

from agents.action_figures import ActionFigures
from agents.config import EarlyStop
from agents.equity_picture import LINE, equity_picture
from agents.figure_names import SCORE
from agents.heads import action_head
from agents.runner import Rollout
from agents.training_loop import stalled
from agents.validation import validate
from envs.actions import action_space
from envs.config import MarketConfig
from envs.performance import daily_returns
from envs.rules import BuyAndHoldRule, FlatRule
from envs.sharpe import sharpe_estimate
from tests.market_tools import plain, random_market


@pytest.mark.parametrize(
    ("scores", "patience", "least", "expected"),
    [
        ([0.1, 0.2, 0.1, 0.15], 2, 0.0, True),
        ([0.1, 0.2, 0.1, 0.25], 2, 0.0, False),
        ([0.1, 0.2, 0.1, 0.25], 2, 0.06, True),
        ([0.1, 0.1, 0.1], 3, 0.0, False),
        ([0.1, 0.1, 0.1], 0, 0.0, False),
        ([], 1, 0.0, False),
    ],
)
def test_early_stop_waits_for_an_improvement(scores: list[float], patience: int, least: float, expected: bool) -> None:
    history = [record for score in scores for record in ({"iteration": 0.0}, {SCORE: score})]
    assert stalled(history, EarlyStop(patience, least)) == expected


def rollout(observations: np.ndarray, actions: np.ndarray, valid: np.ndarray) -> Rollout:
    nothing = np.zeros(valid.shape, np.float32)
    return Rollout(
        observations=observations,
        actions=actions,
        logp=nothing,
        rewards=nothing,
        terminated=nothing > 0,
        truncated=nothing > 0,
        valid=valid,
        starts=np.zeros((len(valid), valid.shape[1] + 1), np.bool_),
        memory=np.zeros((len(valid), 0), np.float32),
        masks=np.zeros((*valid.shape, 0), np.bool_),
        episodes={},
    )


def test_actions_are_told_as_orders() -> None:
    """One lane of four bars, the last of which only reset: long from flat, long held, short against long."""
    config = MarketConfig(action_mode="multi_discrete")
    held = np.array([[0.0, 1.0, 1.0, 0.0, 0.0]], np.float32)[..., None]
    actions = np.array([[[1, 0, 2], [1, 4, 0], [2, 3, 1], [1, 1, 1]]])
    head, valid = action_head(action_space(config)), np.array([[True, True, True, False]])
    told = ActionFigures(rollout(held, actions, valid), head, config, side_column=0)
    assert told.shares() == pytest.approx(
        {
            "actions/long_share": 2 / 3,
            "actions/short_share": 1 / 3,
            "actions/flat_share": 0.0,
            "episode/time_in_market": 2 / 3,
        }
    )
    found = told.histograms()
    assert found["actions/take_profit_bps"][0].tolist() == [10.0, 40.0]
    assert found["actions/stop_loss_bps"][0].tolist() == [30.0, 20.0]
    assert "actions/target" not in found
    continuous = MarketConfig(action_mode="continuous")
    sizes = np.array([[[0.5, -1.0, 1.0], [0.1, 0.0, 0.0], [-2.0, 0.0, 0.0], [1.0, 0.0, 0.0]]], np.float32)
    told = ActionFigures(rollout(held, sizes, valid), action_head(action_space(continuous)), continuous, side_column=0)
    found = told.histograms()
    assert found["actions/target"][0].tolist() == pytest.approx([0.5, 0.0, -1.0])  # 0.1 lies in the dead zone
    assert found["actions/take_profit_bps"][0].tolist() == pytest.approx([10.0, 30.0])
    counts, _ = np.histogram(*found["actions/take_profit_bps"])
    assert counts.sum() == 2


def test_validation_figures_and_picture() -> None:
    """Of two markets: sums, means, and Lo's error of the mean daily returns; a flat policy has costs of zero."""
    markets = [random_market(seed, 4 * 1440, holes=False) for seed in (1, 2)]
    config = plain(initial_capital=5_000.0, stop_out_fraction=0.01)
    found = validate(BuyAndHoldRule(config), markets, config)
    told, results = found.figures, found.results
    finals = [result.equity[-1, 0] / 5_000.0 for result in results]
    assert told[SCORE] == pytest.approx(np.mean(np.log(finals)))
    assert told["validation/trades"] == sum(result.trades.num_rows for result in results)
    net = np.concatenate([result.trades["net_pnl"].to_numpy() for result in results])
    assert told["validation/win_rate"] == pytest.approx(np.mean(net > 0))
    assert told["validation/average_win_bps"] > 0 > told["validation/average_loss_bps"]
    assert told["validation/fees"] == pytest.approx(np.mean([result.costs.fees[0] for result in results]) / 5_000.0)
    daily = np.mean([daily_returns(r.open_time_ms, r.equity[:, 0], 5_000.0)[1] for r in results], axis=0)
    sharpe = sharpe_estimate(daily)
    assert told["validation/sharpe"] == pytest.approx(sharpe.annual)
    assert told["validation/sharpe_error"] == pytest.approx(sharpe.annual_standard_error)
    reach = 1.96 * sharpe.annual_standard_error
    assert told["validation/sharpe_high"] - told["validation/sharpe"] == pytest.approx(reach)

    picture = equity_picture(found)
    assert (picture.shape, picture.dtype) == ((600, 900, 3), np.uint8)
    line = (picture == np.array([int(LINE[k : k + 2], 16) for k in (1, 3, 5)])).all(2)
    for k, final in enumerate(finals):  # where the line ends, on the scale that its beginning at zero gives
        panel = line[300 * k : 300 * k + 234]
        first, last = (np.flatnonzero(panel[:, column]).mean() for column in (70, 879))
        assert np.sign(first - last) == np.sign(final - 1.0)

    flat = validate(FlatRule(config), markets, config).figures
    assert flat["validation/time_in_market"] == flat["validation/trades"] == flat["validation/fees"] == 0.0
    assert np.isnan(flat["validation/win_rate"])
