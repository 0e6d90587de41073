"""What both algorithms share: settings, sampling from all runners, learning, and the state a resumed run needs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
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
from agents.peers import learner_backend
from agents.runner import BatchedEnvRunner, Rollout

LANES = "lanes"
EPISODES = "episodes"


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


class BatchedAlgorithm(Algorithm):
    """Mixin in front of an RLlib algorithm; gives `collect` and `learn` to its `training_step`.

    Attributes:
        last_episodes: figures of the episodes that ended in the last iteration, one array per figure (may be empty).
        last_seconds: wall time of the last iteration's `sample` and `learn` (RLlib's own timers are smoothed).
        last_rows: transitions the last iteration sampled and learned from, by the same names.
    """

    last_episodes: dict[str, NDArray[np.float64]]
    last_seconds: dict[str, float]
    last_rows: dict[str, int]

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.last_episodes, self.last_seconds, self.last_rows = {}, {}, {}

    def _setup_logdir(self) -> None:
        """Without Tune, RLlib leaves an empty folder per algorithm in the home directory; a temporary one will do."""
        if self._storage:
            super()._setup_logdir()
        else:
            self._scratch = tempfile.TemporaryDirectory(prefix="scalping-")
            self._logdir = self._scratch.name

    def collect(self) -> Rollout | None:
        """One fragment from every runner, side by side; None if all runners died."""
        self.last_seconds, self.last_rows = {}, {}
        with self._timed("sample", ENV_RUNNER_SAMPLING_TIMER):
            group = self.env_runner_group
            results = group.foreach_env_runner(
                lambda runner: (runner.sample(), runner.get_metrics()),
                local_env_runner=group.num_remote_env_runners() == 0,
                timeout_seconds=self.config.sample_timeout_s,
            )
            self.metrics.aggregate([metrics for _, metrics in results], key=ENV_RUNNER_RESULTS)
        if not results:
            return None
        rollout = Rollout.joined([each for each, _ in results])
        self.last_episodes, self.last_rows["sample"] = rollout.episodes, int(rollout.valid.sum())
        for name, values in rollout.episodes.items():
            self.metrics.log_value((ENV_RUNNER_RESULTS, EPISODES, name), float(values.mean()), window=1)
        return rollout

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
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if LANES in state:
            self.env_runner_group.foreach_env_runner(partial(_set_lanes, states=state[LANES]))


def _set_lanes(runner: BatchedEnvRunner, states: list[dict[str, Any] | None]) -> None:
    runner.set_lanes_state(states)
