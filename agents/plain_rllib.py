"""RLlib's PPO as it comes, for reference: its runner, its connectors and its learner train the networks of ours.

Same environment, initial weights, losses and settings as the batched engine; slower, and it can do less (see
`AgentConfig.engine`). Lanes begin together, and begin anew when a run is resumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TIMERS,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from agents.algorithm import EPISODES, WatchedAlgorithm
from agents.modules import PPOModule
from data_pipeline.errors import InputError

FIGURES = ("return", "length")


class EpisodeFigures(RLlibCallback):
    """Tells return and length of every episode that ends. RLlib cuts episodes where fragments end, and knows of an
    episode's last piece what happened in that piece."""

    def __init__(self) -> None:
        self._before: dict[str, NDArray[np.float64]] = {}

    def on_sample_end(
        self, *, metrics_logger: MetricsLogger | None = None, samples: list[SingleAgentEpisode], **kwargs: Any
    ) -> None:
        del kwargs
        assert metrics_logger is not None
        for piece in samples:
            figures = self._before.pop(piece.id_, 0.0) + np.array([piece.get_return(), len(piece)])
            if piece.is_done:
                for name, value in zip(FIGURES, figures, strict=True):
                    metrics_logger.log_value((EPISODES, name), float(value), reduce="item_series", window=None)
            else:
                self._before[piece.id_] = figures


class PlainPPO(WatchedAlgorithm, PPO):
    """RLlib's PPO, telling of each iteration what the algorithms here tell. Its times are RLlib's, which are smoothed;
    of episodes it knows return and length."""

    def training_step(self) -> None:
        before = self._sampled_rows()
        super().training_step()
        rows = self._sampled_rows() - before
        self.live_runners = max(1, self.env_runner_group.num_healthy_remote_env_runners())
        self.last_rows = {"sample": rows, "learn": rows}
        self.last_seconds = {
            name: float(self.metrics.peek((TIMERS, timer)))
            for name, timer in (("sample", ENV_RUNNER_SAMPLING_TIMER), ("learn", LEARNER_UPDATE_TIMER))
        }
        ended = {name: self.metrics.peek((ENV_RUNNER_RESULTS, EPISODES, name), default=[]) for name in FIGURES}
        self.last_episodes = {name: np.array(values) for name, values in ended.items() if len(values)}

    def _sampled_rows(self) -> int:
        return int(self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))


class PlainPPOConfig(PPOConfig):
    """RLlib's PPO settings, with the losses of `agents.ppo` and the methods by which `agents.runtime` sets them."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PlainPPO)
        self.callbacks(EpisodeFigures)
        self.training(use_kl_loss=False, vf_clip_param=float("inf"), grad_clip_by="global_norm")

    def schedules(self, *, lr: tuple[float, float], entropy: tuple[float, float], rows: int) -> PlainPPOConfig:
        """Set first and last value of learning rate and entropy weight, linear over that many sampled rows."""
        self.lr = [[0, lr[0]], [rows, lr[1]]]
        self.entropy_coeff = [[0, entropy[0]], [rows, entropy[1]]]
        return self

    def devices(self, *, learner: str, runner: str, **settings: str) -> PlainPPOConfig:
        """Refuse what is not the CPU: RLlib's learner knows CUDA only, and its schedules not even that."""
        if {learner, runner} != {"cpu"}:
            raise InputError(f"engine='rllib' on {learner}", where="agents", remedy="choose device cpu")
        return self

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=PPOModule)
