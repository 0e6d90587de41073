"""What both algorithms share: settings, sampling from all runners, learning, and the state a resumed run needs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from agents.config import AgentPrecision
from agents.fragments import equal_shares, side_by_side
from agents.peers import learner_backend
from agents.runner import BatchedEnvRunner, Rollout

LANES = "lanes"
LOST_RUNNERS = "lost_runners"
EPISODES = "episodes"
RESTART_SECONDS = 300.0
"""How long training waits for a runner when all of them died."""


class BatchedConfig(AlgorithmConfig):
    """Settings the batched path adds to RLlib's: devices by name, and the gradient clip of the guarded learner."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = BatchedEnvRunner
        self.gym_env_vectorize_mode = "vector_entry_point"
        self.learner_device = "cpu"
        self.sampling_device = "cpu"
        self.precision: AgentPrecision = "float32"
        self.max_grad_norm = 0.5
        self.policy_after_rows = 0  # sampled rows before which only critics learn
        self.reset_options: dict[str, Any] | None = None  # handed to the environment's first reset

    def devices(self, *, learner: str, runner: str, precision: AgentPrecision = "float32") -> BatchedConfig:
        """Set where learners and runners compute, by names that resolve there (see `supervised.devices`), and how
        precisely learners do."""
        self.learner_device = learner
        self.sampling_device = runner
        self.precision = precision
        return self

    def build_learner_group(self, **kwargs: Any) -> Any:
        with learner_backend(self.learner_device):
            return super().build_learner_group(**kwargs)


class WatchedAlgorithm(Algorithm):
    """Mixin in front of an RLlib algorithm: what a run wants to know of each iteration.

    Attributes:
        last_episodes: figures of the episodes that ended in the last iteration, one array per figure (may be empty).
        last_rollout: what the last iteration sampled; None before the first, and where RLlib's own runners sample.
        last_seconds: wall time of the last iteration's `sample` and `learn` (RLlib's own timers are smoothed).
        last_rows: transitions the last iteration sampled and learned from, by the same names.
        lost_runners: how many times a runner died and was replaced, or is waited for, since training began. The lanes
            of a replaced runner begin anew, so a run that lost one cannot be repeated bit for bit.
        live_runners: runners that the last iteration's experience came from.
    """

    last_episodes: dict[str, NDArray[np.float64]]
    last_rollout: Rollout | None
    last_seconds: dict[str, float]
    last_rows: dict[str, int]
    lost_runners: int
    live_runners: int

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.last_rollout = None
        self.last_episodes, self.last_seconds, self.last_rows = {}, {}, {}
        self.lost_runners = self.live_runners = 0
        self._missing: set[int] = set()

    def _setup_logdir(self) -> None:
        """Without Tune, RLlib leaves an empty folder per algorithm in the home directory; a temporary one will do."""
        if self._storage:
            super()._setup_logdir()
        else:
            self._scratch = tempfile.TemporaryDirectory(prefix="scalping-")
            self._logdir = self._scratch.name


class BatchedAlgorithm(WatchedAlgorithm):
    """Gives `collect` and `learn` to an algorithm's `training_step`."""

    def collect(self, *, fixed_lanes: bool = False) -> Rollout:
        """One fragment from every runner that is alive, side by side in the order of the runners.

        Args:
            fixed_lanes: keep the places of runners that died (see `side_by_side`); otherwise their lanes are missing
                (see `equal_shares`).

        Raises:
            RuntimeError: no runner answers, and none comes back.
        """
        self.last_seconds, self.last_rows = {}, {}
        with self._timed("sample", ENV_RUNNER_SAMPLING_TIMER):
            results = self._sampled()
            self.metrics.aggregate([metrics for _, _, metrics in results], key=ENV_RUNNER_RESULTS)
        found = {index: rollout for index, rollout, _ in sorted(results, key=itemgetter(0))}
        self.live_runners = len(found)
        if fixed_lanes:
            rollout = side_by_side(found, self.config.num_env_runners)
        else:
            rollout = equal_shares(found, max(1, self.config.num_learners))
        self.last_rollout, self.last_episodes = rollout, rollout.episodes
        self.last_rows["sample"] = int(rollout.valid.sum())
        for name, values in rollout.episodes.items():
            self.metrics.log_value((ENV_RUNNER_RESULTS, EPISODES, name), float(values.mean()), window=1)
        return rollout

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """As RLlib's, and counts the runners that were found dead since the last sampling."""
        self._count_lost()
        restored: list[int] = super().restore_env_runners(env_runner_group)
        self._count_lost()
        return restored

    def _count_lost(self) -> None:
        """Count runners that are missing now and were not when last looked at."""
        group = self.env_runner_group
        missing = set(range(1, group.num_remote_env_runners() + 1)) - set(group.healthy_env_runner_ids())
        self.lost_runners += len(missing - self._missing)
        self._missing = missing

    def _sampled(self) -> list[tuple[int, Rollout, Any]]:
        """Index, fragment and metrics of every runner that answers. If none does, wait for the first to come back."""
        group, deadline = self.env_runner_group, time.monotonic() + RESTART_SECONDS
        while True:
            results: list[tuple[int, Rollout, Any]] = group.foreach_env_runner(
                lambda runner: (runner.worker_index, runner.sample(), runner.get_metrics()),
                local_env_runner=group.num_remote_env_runners() == 0,
                timeout_seconds=self.config.sample_timeout_s,
            )
            self._count_lost()
            if results:
                return results
            if time.monotonic() > deadline:
                raise RuntimeError(f"no runner has answered for {RESTART_SECONDS:.0f} s (the logs of Ray say why)")
            self.restore_env_runners(group)

    def learn(self, columns: dict[str, NDArray[Any]], rows: int) -> None:
        """Update on a batch of arrays (first axis shared out among learners), then send the weights to the runners."""
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=rows)
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        with self._timed("learn", LEARNER_UPDATE_TIMER):
            results = self.learner_group.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: sampled})
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.last_rows["learn"] = rows
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
            )

    @contextmanager
    def _timed(self, name: str, timer: str) -> Iterator[None]:
        start = time.perf_counter()
        with self.metrics.log_time((TIMERS, timer)):
            yield
        self.last_seconds[name] = time.perf_counter() - start

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(LANES, components, not_components):
            state[LANES] = self.env_runner_group.foreach_env_runner(lambda runner: runner.lanes_state())
        return state | {LOST_RUNNERS: self.lost_runners}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.lost_runners = state.get(LOST_RUNNERS, 0)
        if LANES in state:
            self.env_runner_group.foreach_env_runner(partial(_set_lanes, states=state[LANES]))


def _set_lanes(runner: BatchedEnvRunner, states: list[dict[str, Any] | None]) -> None:
    runner.set_lanes_state(states)
