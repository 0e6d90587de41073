"""Steps a second of PPO here against plain RLlib: the same market, network, lanes, epochs and minibatches.

    python -m benchmarks.rl_training

Both run in this process on the same vector env of a SYNTHETIC market, in turns; medians of processor time count (other
work on the machine disturbs them less). `sample_vs_rllib` is the ratio of steps a second of one `sample()` of the
runner, `train_vs_rllib` that of a whole training iteration: sampling, advantages, all epochs, weights back to the
runner. Plain RLlib is taken as it comes, and a second time (`*_vs_tuned_rllib`) with actions neither normalised nor
clipped, which discrete actions do not need and which costs it a quarter of its sampling.
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

from agents.config import AgentConfig, NetworkConfig, PPOSettings
from agents.runtime import rllib_config, start_ray
from agents.train import make_market_env
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


def timed(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def main(args: Args) -> int:
    """Print a table and, last, RESULT with the ratios."""
    torch.set_num_threads(args.threads)
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        env_config: dict[str, object] = {
            "markets": [saved_market(Path(folder), args.features)],
            "config": MarketConfig(),
        }
        settings = AgentConfig(
            lanes=args.lanes,
            fragment=args.fragment,
            network=NetworkConfig(hidden=args.hidden),
            ppo=PPOSettings(epochs=args.epochs, minibatch=args.minibatch),
            device="cpu",
        )
        ours = rllib_config(settings, "benchmark", make_market_env, env_config).build_algo()
        sides = {
            "ours": ours,
            "rllib": plain_rllib(args, env_config, tuned=False),
            "tuned_rllib": plain_rllib(args, env_config, tuned=True),
        }
        seconds: dict[str, dict[str, list[float]]] = {name: {"sample": [], "train": []} for name in sides}
        for number in range(args.rounds + 1):
            for name, algorithm in sides.items():
                train, sample = timed(algorithm.train), timed(algorithm.env_runner.sample)
                if number:  # the first round compiles and warms up
                    seconds[name]["train"].append(train)
                    seconds[name]["sample"].append(sample)
        for algorithm in sides.values():
            algorithm.stop()
    steps = args.lanes * args.fragment
    speed = {
        name: {kind: steps / statistics.median(values) for kind, values in kinds.items()}
        for name, kinds in seconds.items()
    }
    ratios: dict[str, float] = {}
    print(f"{'steps a second':16}{'sample':>12}{'train':>12}")
    for name, kinds in speed.items():
        print(f"{name.replace('_', ' '):16}{kinds['sample']:>12,.0f}{kinds['train']:>12,.0f}")
        if name != "ours":
            ratios |= {f"{kind}_vs_{name}": round(speed["ours"][kind] / value, 2) for kind, value in kinds.items()}
    print("RESULT " + json.dumps(ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
