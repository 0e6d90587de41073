"""What our PPO, DDPG and TD3 learn beside Stable-Baselines3's, in the same environment within the same steps.

    python -m benchmarks.agents_vs_sb3 --seeds 3 --out agents_vs_sb3.jsonl

Two tasks: the SYNTHETIC market with a planted edge (net log return of the final greedy policy on days not trained on,
as a share of the best threshold rule's that a search on those very days finds), and Gymnasium's Pendulum-v1 (mean
return of the final greedy policy over 100 episodes). No checkpoint is chosen: the last weights count. Every side gets
the same vector environment, the same number of environment steps and, off policy, of gradient steps:

    ours          the preset in the market; on the pendulum the settings below
    sb3, as ours  Stable-Baselines3 with our lanes, network widths, rates, batches, exploration and their schedules
    sb3, default  with its own defaults for all that (lanes: 8 on policy, 1-step updates spread like ours off policy)

What Stable-Baselines3 has no setting for is left out there: our initial habit of holding a position and the linear path
beside the policy network. CPU seconds are the process's, training only, the median over seeds. Each finished run is a
line of --out and is not made again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, VectorEnv
from ray.rllib.core import DEFAULT_MODULE_ID
from stable_baselines3 import DDPG, PPO, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

from agents.config import AgentConfig, DDPGSettings, PPOSettings, agent_preset
from agents.policy import TorchPolicy
from agents.policy_spec import PolicySpec, space_fields
from agents.runtime import rllib_config, start_ray
from benchmarks.sb3_adapter import LaneVecEnv
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy
from envs.vector_env import ScalpingVectorEnv
from tests.integration.agents_market import DAY, best_rule_profit, signal_market

Task = Literal["market", "pendulum"]
Name = Literal["ppo", "ddpg", "td3"]
SIDES = ("ours", "sb3, as ours", "sb3, default")
TRAIN_DAYS, TEST_DAYS = 50, 10
EPISODES, PENDULUM_STEPS = 100, 200


@dataclass(frozen=True)
class Args:
    """What is compared."""

    tasks: tuple[Task, ...] = ("market", "pendulum")
    """Environments."""
    algorithms: tuple[Name, ...] = ("ppo", "ddpg", "td3")
    """Algorithms."""
    seeds: int = 3
    """Runs of each, on as many markets."""
    out: Path = Path("agents_vs_sb3.jsonl")
    """Lines of finished runs."""


def settings(task: Task, name: Name, seed: int) -> AgentConfig:
    """Ours: the preset in the market, and what suits a pendulum; the steps are what all sides get."""
    if task == "market":
        return agent_preset(name, iterations=40 if name == "ppo" else 60, seed=seed, device="cpu")
    if name == "ppo":
        ppo = PPOSettings(minibatch=256, epochs=10, entropy=0.0, entropy_final=0.0)
        return AgentConfig("ppo", iterations=48, lanes=16, fragment=128, gamma=0.9, ppo=ppo, seed=seed, device="cpu")
    base = agent_preset(name).ddpg
    ddpg = replace(base, batch=128, updates=64, replay_rows=20_000, warmup_rows=1000, noise=0.3)
    ddpg = replace(ddpg, learning_rate_final=ddpg.critic_learning_rate)  # too few steps for a rate that falls
    return AgentConfig("ddpg", iterations=128, lanes=8, fragment=8, ddpg=ddpg, seed=seed, device="cpu")


@cache
def market_days(seed: int) -> tuple[Market, Market]:
    """Days to train on, and later ones."""
    market = signal_market(TRAIN_DAYS + TEST_DAYS, seed)
    return market.slice(0, TRAIN_DAYS * DAY), market.slice(TRAIN_DAYS * DAY, len(market))


def rules_of(name: Name) -> MarketConfig:
    """PPO chooses flat, long or short; the others say side, size and bracket as numbers."""
    return MarketConfig(action_mode="discrete" if name == "ppo" else "continuous")


def make_env(task: Task, name: Name, seed: int, lanes: int) -> VectorEnv:
    """The vector environment that every side is given."""
    if task == "market":
        return ScalpingVectorEnv(lanes, market_days(seed)[0], rules_of(name))
    return gym.make_vec(
        "Pendulum-v1",
        num_envs=lanes,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.NEXT_STEP},
    )


def score(task: Task, name: Name, seed: int, act: Callable[[np.ndarray], np.ndarray]) -> float:
    """What a greedy policy is worth: share of the best rule's profit, or mean return."""
    if task == "market":
        rules, test = rules_of(name), market_days(seed)[1]
        result = Backtest(test, rules).run(_Acting(act))
        return float(np.log(result.equity[-1, 0] / result.initial_capital[0])) / rule_profit(name, seed)
    env = make_env(task, name, seed, EPISODES)
    observations, _ = env.reset(seed=10_000 + seed)
    total = 0.0
    for _ in range(PENDULUM_STEPS):
        observations, rewards, *_ = env.step(act(observations))
        total += float(rewards.mean())
    return total


@cache
def rule_profit(name: Name, seed: int) -> float:
    """Net log return of the best threshold rule on the test days, found on them."""
    return best_rule_profit(market_days(seed)[1], rules_of(name))


@dataclass(frozen=True)
class _Acting(Policy):
    """A function as a policy."""

    function: Callable[[np.ndarray], np.ndarray]

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.function(observations)


def run_ours(task: Task, name: Name, seed: int) -> tuple[float, float]:
    """(score, CPU seconds) of our algorithm."""
    config = settings(task, name, seed)
    columns: tuple[str, ...] = ("cos", "sin", "speed")
    market: dict[str, Any] = {}
    if task == "market":
        columns = observation_columns(market_days(seed)[0])
        market = {"side_column": columns.index("account_side"), "reset_options": {"stagger": True}}

    def create(env_config: dict[str, Any]) -> VectorEnv:
        return make_env(task, name, seed, env_config["num_envs"])

    algorithm = rllib_config(config, f"{task} {name}", create, {}, **market).build_algo()
    began = time.process_time()
    for _ in range(config.iterations):
        algorithm.train()
    seconds = time.process_time() - began
    spec = PolicySpec(
        algorithm=config.algorithm,
        network=config.network,
        observation_columns=columns,
        market={},
        iteration=config.iterations,
        **space_fields(algorithm.spaces[DEFAULT_MODULE_ID][1]),
    )
    policy = TorchPolicy(spec, algorithm.learner_group.get_weights([DEFAULT_MODULE_ID])[DEFAULT_MODULE_ID])
    algorithm.stop()
    return score(task, name, seed, policy.act), seconds


def run_sb3(task: Task, name: Name, seed: int, *, like_ours: bool) -> tuple[float, float]:
    """(score, CPU seconds) of Stable-Baselines3's algorithm, with our settings or its own."""
    config = settings(task, name, seed)
    steps = config.iterations * config.rows_per_iteration
    lanes = 8 if name == "ppo" and not like_ours else config.lanes
    env = LaneVecEnv(make_env(task, name, seed, lanes), seed)
    build: dict[Name, Callable[..., BaseAlgorithm]] = {"ppo": PPO, "ddpg": DDPG, "td3": TD3}
    given = on_policy(config.ppo, config) if name == "ppo" else off_policy(config.ddpg, config, env, name)
    if not like_ours:  # its own, except how gradient steps are spread over environment steps
        given = {key: given[key] for key in ("train_freq", "gradient_steps") if key in given}
    model = build[name]("MlpPolicy", env, seed=seed, device="cpu", **given)
    callback = Schedules(config, steps) if like_ours else None
    began = time.process_time()
    model.learn(steps, callback=callback)
    seconds = time.process_time() - began
    env.close()
    return score(task, name, seed, lambda rows: model.predict(rows, deterministic=True)[0]), seconds


def falling(first: float, final: float) -> Callable[[float], float]:
    """A rate as Stable-Baselines3 asks for it: by the share of training that is left."""
    return lambda left: final + left * (first - final)


def on_policy(ppo: PPOSettings, config: AgentConfig) -> dict[str, Any]:
    """Stable-Baselines3's arguments for our PPO's settings."""
    widths = list(config.network.hidden)
    return {
        "n_steps": config.fragment,
        "batch_size": ppo.minibatch,
        "n_epochs": ppo.epochs,
        "learning_rate": falling(ppo.learning_rate, ppo.learning_rate_final),
        "gamma": config.gamma,
        "gae_lambda": ppo.gae_lambda,
        "clip_range": ppo.clip,
        "ent_coef": ppo.entropy,
        "vf_coef": ppo.value_weight,
        "max_grad_norm": ppo.max_grad_norm,
        "policy_kwargs": {"net_arch": widths, "activation_fn": torch.nn.ReLU, "log_std_init": ppo.log_std},
    }


def off_policy(ddpg: DDPGSettings, config: AgentConfig, env: LaneVecEnv, name: Name) -> dict[str, Any]:
    """Stable-Baselines3's arguments for our DDPG's settings."""
    size = env.action_space.shape or ()
    given: dict[str, Any] = {
        "learning_rate": falling(ddpg.critic_learning_rate, ddpg.learning_rate_final),
        "buffer_size": ddpg.replay_rows,
        "learning_starts": ddpg.warmup_rows,
        "batch_size": ddpg.batch,
        "tau": ddpg.tau,
        "gamma": config.gamma,
        "train_freq": config.fragment,
        "gradient_steps": ddpg.updates,
        "action_noise": NormalActionNoise(np.zeros(size), np.full(size, ddpg.noise)),
        "policy_kwargs": {"net_arch": list(config.network.hidden)},
    }
    if name == "td3":
        smoothing = {"target_policy_noise": ddpg.target_noise, "target_noise_clip": ddpg.target_noise_clip}
        given |= {"policy_delay": ddpg.policy_delay, **smoothing}
    return given


class Schedules(BaseCallback):
    """The entropy weight or exploration noise of our settings, moving as ours do."""

    def __init__(self, config: AgentConfig, steps: int) -> None:
        super().__init__()
        self._config, self._steps = config, steps

    def _on_rollout_start(self) -> None:
        done = self.num_timesteps / self._steps
        if isinstance(self.model, PPO):
            ppo = self._config.ppo
            self.model.ent_coef = ppo.entropy + done * (ppo.entropy_final - ppo.entropy)
        elif isinstance(self.model, DDPG | TD3):
            ddpg, noise = self._config.ddpg, self.model.action_noise
            scale = ddpg.noise + min(1.0, done / ddpg.noise_decay) * (ddpg.noise_final - ddpg.noise)
            lanes = getattr(noise, "noises", [noise])
            for one in lanes:
                one._sigma = np.full_like(one._sigma, scale)

    def _on_step(self) -> bool:
        return True


def table(lines: list[dict[str, Any]], args: Args) -> str:
    """Mean ± standard deviation over seeds, and CPU seconds, as Markdown."""
    rows = ["| task | algorithm | steps | " + " | ".join(f"{side} | CPU s" for side in SIDES) + " |"]
    rows.append("|---" * (3 + 2 * len(SIDES)) + "|")
    for task, name in product(args.tasks, args.algorithms):
        config = settings(task, name, 0)
        cells = [task, name.upper(), f"{config.iterations * config.rows_per_iteration:,}"]
        for side in SIDES:
            found = [line for line in lines if (line["task"], line["name"], line["side"]) == (task, name, side)]
            values = np.array([line["score"] for line in found if line["seed"] < args.seeds])
            if values.size == 0:
                cells += ["–", "–"]
                continue
            deviation = float(values.std(ddof=1)) if values.size > 1 else float("nan")
            text = f"{values.mean():.0f} ± {deviation:.0f}"
            if task == "market":
                text = f"{values.mean():.0%} ± {deviation:.0%}"
            cells += [text, f"{np.median([line['seconds'] for line in found]):.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main(args: Args) -> int:
    """Make the runs that are missing in --out, and print the table."""
    torch.set_num_threads(1)
    start_ray()
    lines = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    done = {(line["task"], line["name"], line["side"], line["seed"]) for line in lines}
    runs = product(range(args.seeds), args.tasks, args.algorithms, SIDES)
    for seed, task, name, side in sorted(runs, key=lambda run: run[3] == SIDES[-1]):  # the slowest side last
        if (task, name, side, seed) in done:
            continue
        if side == "ours":
            value, seconds = run_ours(task, name, seed)
        else:
            value, seconds = run_sb3(task, name, seed, like_ours=side == "sb3, as ours")
        line = {"task": task, "name": name, "side": side, "seed": seed, "score": value, "seconds": seconds}
        print(json.dumps(line), flush=True)
        with args.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
    print(table(lines, args))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
