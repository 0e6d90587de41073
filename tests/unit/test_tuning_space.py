"""What a search may choose: texts become values that the settings accept, facts of the market cannot be chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.config import AgentConfig, agent_preset
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from evaluation.tuning_space import (
    Dimension,
    applied,
    default_space,
    grid,
    parse_settings,
    parse_space,
    random_settings,
)

AGENT, MARKET = agent_preset("ppo"), MarketConfig()


def dimension(text: str) -> Dimension:
    return parse_space([text], AGENT, MARKET)[0]


def test_values_have_the_kind_of_the_setting() -> None:
    assert dimension("network.hidden=32x32,64").choices == ((32, 32), (64,))
    assert dimension("market.tp_grid_bps=10x20,5").choices == ((10.0, 20.0), (5.0,))
    assert dimension("ppo.epochs=2,4").choices == (2, 4)
    assert dimension("market.reward=log_equity,drawdown").choices == ("log_equity", "drawdown")
    assert dimension("network.shared_trunk=true,false").choices == (True, False)
    whole = dimension("ppo.minibatch=log:64..4096")
    assert {type(whole.at(share)) for share in (0.0, 0.3, 1.0)} == {int}
    assert (whole.at(0.0), whole.at(0.5), whole.at(1.0)) == (64, 512, 4096)
    assert dimension("gamma=0.9..0.98").at(0.5) == pytest.approx(0.94)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ppo.learning_rte=1", "there is no setting 'ppo.learning_rte'"),
        ("ppo=1", "no values"),
        ("ppo.epochs", "no values"),
        ("ppo.epochs=2,many", "its values are such as"),
        ("network.shared_trunk=yes", "its values are such as"),
        ("gamma=0.9..0.8", "0.9 to 0.8 is no range"),
        ("gamma=log:0..0.9", "0 to 0.9 is no range"),
        ("network.hidden=8..16", "it is no number"),
        ("market.fees_bps=0x0,1x1", "market.fees_bps is a fact of the market"),
        ("market.half_spread_bps=0,1", "is a fact of the market"),
        ("iterations=5,10", "no setting to choose by its score"),
    ],
)
def test_what_cannot_be_chosen_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dimension(text)


def test_what_a_policy_is_made_of_cannot_change_while_it_trains() -> None:
    parse_space(["gamma=0.9,0.95"], AGENT, MARKET, while_training=True)
    for text in ("network.hidden=8,16", "market.default_tp_bps=20,30", "lanes=8,16"):
        with pytest.raises(InputError, match="cannot change while a policy trains"):
            parse_space([text], AGENT, MARKET, while_training=True)


def test_settings_reach_both_configurations_and_are_checked_by_them() -> None:
    texts = [
        "ppo.learning_rate=0.01",
        "network.hidden=8",
        "market.default_sl_bps=inf",
        "market.initial_capital=100x1000",
    ]
    agent, market = applied(parse_settings(texts, AGENT, MARKET), AGENT, MARKET)
    assert (agent.ppo.learning_rate, agent.network.hidden) == (0.01, (8,))
    assert (market.default_sl_bps, market.initial_capital) == (math.inf, (100.0, 1000.0))
    assert applied({}, AGENT, MARKET) == (AGENT, MARKET)
    with pytest.raises(InputError, match=r"gamma=1\.5"):
        applied({"gamma": 1.5}, AGENT, MARKET)
    with pytest.raises(InputError, match="is not one value"):
        parse_settings(["gamma=0.9,0.8"], AGENT, MARKET)


@pytest.mark.parametrize("algorithm", ["ppo", "ddpg"])
@pytest.mark.parametrize("while_training", [False, True])
def test_the_default_space_works_everywhere(algorithm: str, while_training: bool) -> None:
    agent: AgentConfig = agent_preset(algorithm)  # type: ignore[arg-type]
    market = MarketConfig(action_mode="discrete" if algorithm == "ppo" else "continuous")
    texts = default_space(agent, market, while_training=while_training)
    space = parse_space(texts, agent, market, while_training=while_training)
    for settings in random_settings(space, 20, seed=1):
        changed = applied(settings, agent, market)
        assert changed != (agent, market)


def test_draws_and_grids_cover_the_space() -> None:
    space = parse_space(["gamma=0.9..0.98", "ppo.epochs=1,2,4"], AGENT, MARKET)
    assert [tuple(each.values()) for each in grid(space, 2)] == [
        (gamma, epochs) for gamma in (0.9, 0.98) for epochs in (1, 2, 4)
    ]
    drawn = random_settings(space, 200, seed=3)
    assert {each["ppo.epochs"] for each in drawn} == {1, 2, 4}
    assert np.mean([each["gamma"] for each in drawn]) == pytest.approx(0.94, abs=0.01)
    assert random_settings(space, 5, seed=3) == drawn[:5]  # more trials go on where fewer ended
