"""Demonstrations for a policy's offline start: a rule, or perfect foresight, trading the training days.

They are recorded in the env that trains, by its own kernel, so that what the account columns say is what the account
went through. Only the markets that are handed in are looked at, rules are chosen on them alone, and the caller hands in
the training days (`agents.train.train` sees to that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.cloning import Demonstrations
from agents.config import AgentConfig
from agents.heads import ActionHead, CategoricalHead, action_head
from agents.runner import Rollout
from envs.actions import encode_sides
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import ACCOUNT_COLUMNS, observation_columns
from envs.policy import Policy
from envs.vector_env import ScalpingVectorEnv
from evaluation.foresight import foreseen_sides
from evaluation.threshold_search import Candidate, candidate_returns, candidates

FORESEEN = ("foreseen_if_flat", "foreseen_if_long", "foreseen_if_short")
"""Columns that know the future; the recording leaves them out of what is shown."""
STRAY_BARS = 12.0
"""Bars that a lane which does not follow the demonstrator keeps one random action, in the mean."""
CAPITAL = 10_000.0
"""Quote units of the accounts among which rules are compared."""


def demonstrate(markets: Sequence[Market], env_config: MarketConfig, config: AgentConfig) -> Demonstrations:
    """Record `config.cloning.rows` decisions of the demonstrator that `config.cloning.source` names.

    Every lane shows what the demonstrator wants in the state it stands in. With a rule half of the lanes carry that
    out, the others hold random actions for a while, so that the policy also sees how to get out of what it should not
    have got into. With foresight all of them do: a position that foresight had taken would tell the future by being
    held, and a policy would learn to hold what it holds.

    Raises:
        InputError: no market has a row that can be traded.
    """
    lanes = config.lanes * max(1, config.num_env_runners)
    steps = max(1, round(config.cloning.rows / lanes))
    if config.algorithm == "ddpg":  # the demonstrations begin its replay
        steps = min(steps, config.ddpg.replay_rows // lanes - 1)
    if config.cloning.source == "rule":
        rule = best_rule(markets, env_config).rule(markets[0], env_config)
        return record(markets, env_config, rule, lanes, steps, config.seed, follow=True)
    knowing = [_with_foresight(market, env_config) for market in markets]
    seer = _Foresight(observation_columns(knowing[0]), env_config)
    told = record(knowing, env_config, seer, lanes, steps, config.seed, follow=False)
    shown = np.r_[: len(markets[0].columns), -len(ACCOUNT_COLUMNS) : 0]
    return replace(told, rollout=replace(told.rollout, observations=told.rollout.observations[..., shown]))


def demonstrator(env_config: MarketConfig, config: AgentConfig) -> Callable[[Sequence[Market]], Demonstrations] | None:
    """What `train` calls with its training markets for an offline start; None where none is asked for."""
    if config.cloning.source == "none":
        return None
    return lambda markets: demonstrate(markets, env_config, config)


def best_rule(markets: Sequence[Market], env_config: MarketConfig) -> Candidate:
    """The threshold rule on any column that earned most on all markets together (sum of log returns)."""
    found = candidates(markets[0], markets[0].columns)
    growth = sum(np.log1p(candidate_returns(found, market, env_config, CAPITAL)) for market in markets)
    return found[int(np.argmax(growth))]


def record(
    markets: Sequence[Market],
    env_config: MarketConfig,
    policy: Policy,
    lanes: int,
    steps: int,
    seed: int,
    *,
    follow: bool,
) -> Demonstrations:
    """What `lanes` lanes see and do in `steps` bars of staggered episodes, and what `policy` wants at each.

    Args:
        markets: shared out among the lanes.
        env_config: rules of the market.
        policy: wants something for each observation.
        lanes, steps: N and T.
        seed: of episodes and of stray actions.
        follow: every other lane of a market does what `policy` wants; else all of them stray.
    """
    env, rng = ScalpingVectorEnv(lanes, markets, env_config), np.random.default_rng([seed, 1])
    head, columns = action_head(env.single_action_space), len(observation_columns(env.markets[0]))
    shape, width = (lanes, steps), head.num_actions
    out = Rollout(
        observations=np.empty((lanes, steps + 1, columns), np.float32),
        actions=np.empty((*shape, width), head.dtype),
        logp=np.zeros(shape, np.float32),
        rewards=np.empty(shape, np.float32),
        terminated=np.empty(shape, np.bool_),
        truncated=np.empty(shape, np.bool_),
        valid=np.empty(shape, np.bool_),
        starts=np.ones((lanes, steps + 1), np.bool_),
        memory=np.zeros((lanes, 0), np.float32),
        masks=np.zeros((*shape, 0), np.bool_),
        episodes={},
    )
    wanted = np.empty_like(out.actions)
    strays = np.arange(lanes) // len(markets) % 2 == 1 if follow else np.ones(lanes, np.bool_)
    random = _random_actions(rng, head, lanes)
    ended = np.zeros(lanes, np.bool_)
    observations, _ = env.reset(seed=seed, options={"stagger": True})
    for t in range(steps):
        wanted[:, t] = policy.act(observations).reshape(lanes, width)
        renewed = rng.random(lanes) < 1.0 / STRAY_BARS
        random[renewed] = _random_actions(rng, head, lanes)[renewed]
        actions = np.where(strays[:, None], random, wanted[:, t])
        out.observations[:, t], out.actions[:, t], out.valid[:, t] = observations, actions, ~ended
        observations, out.rewards[:, t], out.terminated[:, t], out.truncated[:, t], _ = env.step(head.to_env(actions))
        ended = out.terminated[:, t] | out.truncated[:, t]
    out.observations[:, steps] = observations
    out.starts[:, 1:] = ~out.valid
    return Demonstrations(out, wanted)


def _random_actions(rng: np.random.Generator, head: ActionHead, lanes: int) -> NDArray[Any]:
    """Uniform actions (N, K) in the head's units."""
    if isinstance(head, CategoricalHead):
        return rng.integers(0, head.sizes, (lanes, head.num_actions))
    return rng.uniform(-1.0, 1.0, (lanes, head.num_actions)).astype(np.float32)


def _with_foresight(market: Market, config: MarketConfig) -> Market:
    """The market with `FORESEEN` beside its columns."""
    sides = foreseen_sides(market, config).astype(np.float32)
    return replace(market, observations=np.hstack([market.observations, sides]), columns=(*market.columns, *FORESEEN))


class _Foresight:
    """Wants what the future makes best for an account that holds what it holds."""

    def __init__(self, columns: tuple[str, ...], config: MarketConfig) -> None:
        self._columns = np.array([columns.index(name) for name in FORESEEN])
        self._side, self._config = columns.index("account_side"), config

    def act(self, observations: NDArray[np.float32]) -> np.ndarray:
        held = observations[:, self._side].astype(np.int64) % 3  # flat 0, long 1, short 2
        return encode_sides(observations[np.arange(len(held)), self._columns[held]], self._config)
