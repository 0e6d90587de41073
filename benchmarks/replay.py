"""Gradient steps a second of DDPG here against RLlib's stock replay path: same networks, losses, batch and n-step.

    python -m benchmarks.replay

RLlib has no DDPG, so the other side is the DDPG one would write on its stock off-policy algorithms: RLlib's SAC with a
learner derived from DQN's, as RLlib means it, which computes the losses of the learner here on the network class of
the algorithm here. A step on that side is what `DQN.training_step` does per update: draw episodes from
`EpisodeReplayBuffer` (uniform) or `PrioritizedEpisodeReplayBuffer` (RLlib's default for SAC), `LearnerGroup.update`
with its connector pipeline, TD errors back into the priorities. On this side it is the share of one gradient step in
what `DDPG.training_step` does after sampling: draw, update, priorities back, weights to the runner. The environment is
stepped by neither. RLlib's second insertion of the next observations, a flaw of its SAC, is left out in its favour.

Both sides hold about the same number of transitions of a SYNTHETIC market and take turns in this process; medians of
processor time count. `ddpg_vs_rllib_replay` is the smaller of the two ratios.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.algorithms.sac.sac import SAC, SACConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, TD_ERROR_KEY
from ray.rllib.utils.replay_buffers.utils import update_priorities_in_episode_replay_buffer

from agents.config import AgentConfig, DDPGSettings, NetworkConfig
from agents.ddpg import DDPG
from agents.ddpg_module import DDPGModule
from agents.runtime import rllib_config, start_ray
from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.synthetic import synthetic_market
from envs.config import MarketConfig
from envs.market import Market
from envs.vector_env import ScalpingVectorEnv

ENV = "ReplayBenchmark"


@dataclass(frozen=True)
class Args:
    """Benchmark of replay and gradient steps of DDPG."""

    batch: int = 256
    """Transitions per gradient step."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of policy and critic."""
    features: int = 32
    """Observation columns besides the account's."""
    n_step: int = 1
    """Rewards summed before the critic's value continues a return."""
    lanes: int = 64
    """Accounts whose experience fills the replay."""
    rows: int = 20_000
    """Transitions in the replay."""
    rounds: int = 5
    """Rounds, each side once in each."""
    threads: int = 1
    """Torch threads."""


class StockLearner(DQNTorchLearner):
    """The losses of `agents.ddpg.DDPGLearner` on RLlib's own update path."""

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        return [TargetNetworkAPI]

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        net = self.module[module_id].unwrapped()
        for name, part, rate in (("policy", net.pi, config.actor_lr), ("critics", net.critics, config.critic_lr)):
            parameters = list(part.parameters())
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=torch.optim.Adam(parameters, fused=True),
                params=parameters,
                lr_or_lr_schedule=rate,
            )

    def compute_loss_for_module(self, *, module_id: str, config: Any, batch: Any, fwd_out: Any) -> torch.Tensor:
        target_q = self.module[module_id].unwrapped().forward_target({**batch, "target_noise": 0.0})
        discounts = config.gamma ** batch["n_step"] * (~batch[Columns.TERMINATEDS]).float()
        errors = fwd_out["q"] - (batch[Columns.REWARDS] + discounts * target_q)
        critic_loss = (batch["weights"] * errors.square()).mean(1).sum()
        policy_value = fwd_out["q_policy"].mean()
        self.metrics.log_value((module_id, TD_ERROR_KEY), errors.detach().abs().mean(0), reduce="item_series")
        figures = {"critic_loss": critic_loss, "policy_value": policy_value, "q_mean": target_q.mean()}
        self.metrics.log_dict({name: each.detach() for name, each in figures.items()}, key=module_id, window=1)
        return critic_loss - policy_value


class StockConfig(SACConfig):
    """RLlib's SAC with that learner and our networks."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or Stock)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=DDPGModule)

    def get_default_learner_class(self) -> type:
        return StockLearner

    def build_learner_connector(self, *args: Any, **kwargs: Any) -> Any:
        return AlgorithmConfig.build_learner_connector(self, *args, **kwargs)


class Stock(SAC):
    """The other side."""

    @classmethod
    def get_default_config(cls) -> StockConfig:
        return StockConfig()

    def gradient_steps(self, count: int) -> None:
        """Updates as in `DQN._training_step_new_api_stack`."""
        for _ in range(count):
            self._gradient_step()

    def _gradient_step(self) -> None:
        config = self.config
        episodes = self.local_replay_buffer.sample(
            num_items=config.total_train_batch_size,
            n_step=config.n_step,
            batch_length_T=0,
            lookback=0,
            min_batch_length_T=0,
            gamma=config.gamma,
            beta=config.replay_buffer_config.get("beta"),
            sample_episodes=True,
        )
        results = self.learner_group.update(episodes=episodes, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 1})
        errors = [np.asarray(each[DEFAULT_MODULE_ID].pop(TD_ERROR_KEY).peek()) for each in results]
        update_priorities_in_episode_replay_buffer(
            replay_buffer=self.local_replay_buffer,
            td_errors={DEFAULT_MODULE_ID: {TD_ERROR_KEY: np.concatenate(errors).reshape(-1)}},
        )


def stock_side(args: Args, ours: DDPG, *, prioritised: bool) -> Stock:
    """The other side with a full replay."""
    buffer = {"type": "PrioritizedEpisodeReplayBuffer", "alpha": 0.6, "beta": 0.4}
    config = (
        StockConfig()
        .environment(ENV)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=args.lanes,
            rollout_fragment_length=64,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .learners(num_learners=0, num_gpus_per_learner=0)
        .rl_module(model_config=ours.config.model_config)
        .training(
            train_batch_size_per_learner=args.batch,
            gamma=ours.config.gamma,
            tau=ours.config.tau,
            actor_lr=ours.config.actor_lr,
            critic_lr=ours.config.critic_lr,
            n_step=args.n_step,
            grad_clip=ours.config.max_grad_norm,
            grad_clip_by="global_norm",
            target_network_update_freq=0,
            replay_buffer_config=(buffer if prioritised else {"type": "EpisodeReplayBuffer"}) | {"capacity": args.rows},
        )
        .debugging(seed=0, log_level="ERROR")
    )
    stock = config.build_algo()
    while stock.local_replay_buffer.get_num_timesteps() < args.rows // 2:
        episodes = stock.env_runner.sample(num_timesteps=64 * args.lanes, random_actions=True)
        stock.local_replay_buffer.add(episodes)
    return stock


def our_side(args: Args, *, prioritised: bool) -> DDPG:
    """This project's DDPG with a full replay."""
    market = synthetic_market(SyntheticConfig(bars=30 * 1440))
    rows = np.random.default_rng(0).standard_normal((30 * 1440, args.features)).clip(-5.0, 5.0)
    names = tuple(f"feature_{number}" for number in range(args.features))
    built = Market.build(market.arrays(), rows, names, default_instrument(market.config.symbol))
    rules = MarketConfig(action_mode="continuous")
    settings = AgentConfig(
        "ddpg",
        lanes=args.lanes,
        fragment=64,
        network=NetworkConfig(hidden=args.hidden),
        ddpg=DDPGSettings(
            batch=args.batch,
            n_step=args.n_step,
            replay_rows=args.rows,
            warmup_rows=args.rows,
            priority_exponent=0.6 if prioritised else 0.0,
        ),
        device="cpu",
    )

    def creator(config: dict[str, Any]) -> ScalpingVectorEnv:
        return ScalpingVectorEnv(config["num_envs"], [built], rules)

    ours = rllib_config(settings, ENV, creator, {}).build_algo()
    assert isinstance(ours, DDPG)
    while ours.replay.rows < ours.replay.lanes * (ours.replay.steps - 1):
        rollout = ours.collect()
        assert rollout is not None
        ours.replay.add(rollout)
    return ours


def seconds_per_step(step: Callable[[], object], steps: int) -> float:
    start = time.process_time()
    step()
    return (time.process_time() - start) / steps


def ratio(args: Args, *, prioritised: bool) -> float:
    """Seconds of processor time per gradient step there over those here; prints both."""
    ours = our_side(args, prioritised=prioritised)
    stock = stock_side(args, ours, prioritised=prioritised)
    found: dict[str, list[float]] = {"ours": [], "rllib": []}
    for number in range(args.rounds + 1):
        here = seconds_per_step(ours.learn_from_replay, ours.config.updates)
        there = seconds_per_step(partial(stock.gradient_steps, 4), 4)
        if number:  # the first round compiles and warms up
            found["ours"].append(here)
            found["rllib"].append(there)
    ours.stop()
    stock.stop()
    median = {side: statistics.median(values) for side, values in found.items()}
    kind = "prioritised" if prioritised else "uniform"
    print(
        f"{kind:14}{1 / median['ours']:>12,.0f}{1 / median['rllib']:>12,.0f}{median['rllib'] / median['ours']:>8.1f}x"
    )
    return median["rllib"] / median["ours"]


def replay_ratio(args: Args | None = None) -> float:
    """The smaller of the ratios with uniform and with prioritised replay. Starts Ray if it is not running."""
    args = args or Args()
    start_ray()
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    try:
        print(f"{'steps a second':14}{'ours':>12}{'rllib':>12}")
        return min(ratio(args, prioritised=prioritised) for prioritised in (False, True))
    finally:
        torch.set_num_threads(threads)


def main(args: Args) -> int:
    """Print a table and, last, RESULT with the ratio."""
    print("RESULT " + json.dumps({"ddpg_vs_rllib_replay": round(replay_ratio(args), 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
