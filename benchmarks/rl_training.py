"""Steps a second of training here against plain RLlib and Stable-Baselines3: one market, network, epochs, minibatches.

    python -m benchmarks.rl_training

All run in this process on the same vector env of a SYNTHETIC market, in turns; medians over the rounds of the ratio of
processor times count (other work on the machine disturbs them less). RESULT:

sample_vs_rllib       steps a second of one `sample()` of the runner
train_vs_rllib        of a whole iteration of PPO: sampling, advantages, all epochs, weights back to the runner
train_vs_sb3          the same against Stable-Baselines3's PPO, fed by a thin adapter over the same vector env. Its way
                      is smoothed where it can be: no logging, no monitor, no linear path beside its policy network
ddpg_vs_rllib_replay  gradient steps of DDPG with replay against RLlib's stock replay (`benchmarks.replay`)
host_syncs            how often the host waits for the device in an iteration (`benchmarks.host_waits`)

Plain RLlib is taken as it comes, and a second time (`*_vs_tuned_rllib`) with actions neither normalised nor clipped,
which discrete actions do not need and which costs it a quarter of its sampling.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from stable_baselines3 import PPO

from agents.config import AgentConfig, NetworkConfig, PPOSettings
from agents.runtime import rllib_config, start_ray
from agents.train import make_market_env
from benchmarks.host_waits import host_waits
from benchmarks.replay import replay_ratio
from benchmarks.sb3_adapter import LaneVecEnv
from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.synthetic import synthetic_market
from envs.config import MarketConfig
from envs.market import Market


@dataclass(frozen=True)
class Args:
    """Benchmark of PPO."""

    lanes: int = 256
    """Accounts side by side."""
    fragment: int = 64
    """Bars each lane moves per iteration."""
    features: int = 32
    """Observation columns besides the account's."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of policy and value network."""
    epochs: int = 4
    """Passes over each fragment."""
    minibatch: int = 2048
    """Rows per gradient step."""
    rounds: int = 7
    """Rounds, each side once in each."""
    threads: int = 1
    """Torch threads."""


def saved_market(folder: Path, features: int) -> str:
    """Thirty days of the synthetic market with random observations."""
    market = synthetic_market(SyntheticConfig(bars=30 * 1440))
    rows = np.random.default_rng(0).standard_normal((30 * 1440, features))
    names = tuple(f"feature_{number}" for number in range(features))
    built = Market.build(market.arrays(), np.clip(rows, -5.0, 5.0), names, default_instrument(market.config.symbol))
    return str(built.save(folder / "market"))


def plain_rllib(args: Args, env_config: dict[str, object], *, tuned: bool) -> Algorithm:
    """RLlib's own PPO on the environment that `rllib_config` has registered."""
    config = (
        PPOConfig()
        .environment("benchmark", env_config=env_config, normalize_actions=not tuned, clip_actions=False)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=args.lanes,
            rollout_fragment_length=args.fragment,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .learners(num_learners=0, num_gpus_per_learner=0)
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=list(args.hidden), fcnet_activation="relu", vf_share_layers=False
            )
        )
        .training(
            train_batch_size_per_learner=args.lanes * args.fragment,
            minibatch_size=args.minibatch,
            num_epochs=args.epochs,
            lr=3e-4,
            gamma=0.98,
            lambda_=0.95,
            use_kl_loss=False,
            grad_clip=0.5,
        )
        .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)
        .debugging(seed=0, log_level="ERROR")
    )
    return config.build_algo()


def stable_baselines(args: Args, env_config: dict[str, object]) -> PPO:
    """Stable-Baselines3's PPO on the same vector env."""
    lanes = LaneVecEnv(make_market_env({**env_config, "num_envs": args.lanes}))
    return PPO(
        "MlpPolicy",
        lanes,
        policy_kwargs={"net_arch": list(args.hidden), "activation_fn": torch.nn.ReLU},
        n_steps=args.fragment,
        batch_size=args.minibatch,
        n_epochs=args.epochs,
        gamma=0.98,
        gae_lambda=0.95,
        ent_coef=0.01,
        max_grad_norm=0.5,
        device="cpu",
        seed=0,
    )


@dataclass(frozen=True)
class Side:
    """What takes turns with the others."""

    train: Callable[[], object]
    """One iteration."""
    sample: Callable[[], object] | None = None
    """One fragment of experience."""


def sides(args: Args, env_config: dict[str, object]) -> dict[str, Side]:
    """All of them, by name."""
    settings = AgentConfig(
        lanes=args.lanes,
        fragment=args.fragment,
        network=NetworkConfig(hidden=args.hidden),
        ppo=PPOSettings(epochs=args.epochs, minibatch=args.minibatch),
        device="cpu",
    )
    ours = rllib_config(settings, "benchmark", make_market_env, env_config).build_algo()
    plain, tuned = (plain_rllib(args, env_config, tuned=tuned) for tuned in (False, True))
    model, steps = stable_baselines(args, env_config), args.lanes * args.fragment
    return {
        "ours": Side(ours.train, ours.env_runner.sample),
        "rllib": Side(plain.train, plain.env_runner.sample),
        "tuned_rllib": Side(tuned.train, tuned.env_runner.sample),
        "sb3": Side(lambda: model.learn(steps, log_interval=None, reset_num_timesteps=model.num_timesteps == 0)),
    }


def timed(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def measured(args: Args, env_config: dict[str, object]) -> dict[tuple[str, str], list[float]]:
    """Processor seconds of each round by side and kind."""
    found: dict[tuple[str, str], list[float]] = {}
    turns = sides(args, env_config)
    for number in range(args.rounds + 1):
        for name, side in turns.items():
            for kind, step in (("train", side.train), ("sample", side.sample)):
                if step is not None:
                    seconds = timed(step)
                    if number:  # the first round compiles and warms up
                        found.setdefault((kind, name), []).append(seconds)
    return found


def main(args: Args) -> int:
    """Print a table and, last, RESULT with the ratios."""
    torch.set_num_threads(args.threads)
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measured(args, {"markets": [saved_market(Path(folder), args.features)], "config": MarketConfig()})
    ratios: dict[str, float] = {}
    steps = args.lanes * args.fragment
    print(f"{'steps a second':24}{'median':>12}{'ours is quicker by':>20}")
    for (kind, name), values in seconds.items():
        times = statistics.median(np.divide(values, seconds[kind, "ours"]))
        print(f"{kind + ' ' + name.replace('_', ' '):24}{steps / statistics.median(values):>12,.0f}{times:>20.2f}")
        if name != "ours":
            ratios[f"{kind}_vs_{name}"] = round(float(times), 2)
    ratios["ddpg_vs_rllib_replay"] = round(replay_ratio(), 2)
    print("RESULT " + json.dumps(ratios | {"host_syncs": host_waits()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
