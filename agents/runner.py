"""Sampling: a vector environment stepped a fragment at a time, straight into arrays.

RLlib's own runner spends four fifths of an iteration in connector pipelines and episode objects. This one calls the
module once per step for all lanes and keeps arrays only; everything else (module, weights, counters, restarts) is
RLlib's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import SAMPLE_TIMER
from ray.tune.registry import ENV_CREATOR, _global_registry

from agents.devices import RunnerDeviceMixin
from agents.heads import ActionHead
from data_pipeline.errors import InputError


@dataclass
class Rollout:
    """A fragment of T steps of N lanes, lane-major so that learners can share it out by lane.

    Attributes:
        observations: float32 (N, T + 1, D); the last column continues the fragment.
        actions: (N, T, K) in the head's units (see `agents.heads`).
        logp: float32 (N, T), log-probability of the action; zero for a deterministic policy.
        rewards: float32 (N, T).
        terminated, truncated: bool (N, T).
        valid: bool (N, T); false where the lane only reset (NEXT_STEP autoreset) and nothing is to be learned.
        starts: bool (N, T + 1); the observation is an episode's first (or the lane's very first).
        memory: float32 (N, S), the network's memory before the first observation; S = 0 for networks without.
        masks: bool (N, T, A), the actions allowed; A = 0 where masks are not used.
        episodes: one array per figure, over the episodes that ended in this fragment.
    """

    observations: NDArray[np.float32]
    actions: NDArray[Any]
    logp: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    starts: NDArray[np.bool_]
    memory: NDArray[np.float32]
    masks: NDArray[np.bool_]
    episodes: dict[str, NDArray[np.float64]]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays with a lane axis, by name."""
        return {name: value for name, value in vars(self).items() if name != "episodes"}

    @classmethod
    def joined(cls, rollouts: list[Rollout]) -> Rollout:
        """The lanes of several rollouts side by side, and all their episodes."""
        if len(rollouts) == 1:
            return rollouts[0]
        parts = [rollout.columns() for rollout in rollouts]
        ended = [rollout.episodes for rollout in rollouts if rollout.episodes]
        return cls(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
            episodes={name: np.concatenate([each[name] for each in ended]) for name in (ended[0] if ended else ())},
        )


@dataclass
class _Lanes:
    """Where every lane stands between two fragments."""

    observations: NDArray[np.float32]
    starts: NDArray[np.bool_]
    memory: NDArray[np.float32]
    noise: NDArray[np.float32]
    ended: NDArray[np.bool_]
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def advance(self, observations: Any, rewards: Any, terminated: Any, truncated: Any) -> None:
        """Take in one step of the environment; a lane that had ended only reset, so it earned nothing."""
        self.observations = np.ascontiguousarray(observations, np.float32)
        self.returns += np.where(self.ended, 0.0, rewards)
        self.lengths += ~self.ended
        self.starts = self.ended
        self.ended = np.logical_or(terminated, truncated)

    def pop_episodes(self, infos: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
        """Figures of the episodes that just ended: return, length, and what the environment tells in `infos`."""
        done = self.ended
        figures = {"return": self.returns[done], "length": self.lengths[done].astype(np.float64)}
        for name, values in infos.get("account", {}).items():
            figures[name] = np.asarray(values, np.float64)[done]
        self.returns[done] = 0.0
        self.lengths[done] = 0
        return figures


class BatchedEnvRunner(RunnerDeviceMixin, SingleAgentEnvRunner):
    """RLlib's runner with `sample` returning a `Rollout`.

    Needs a vector environment that resets a lane on the step after its end (NEXT_STEP) and returns fresh arrays; the
    first is checked here, the second cannot be. Exploration noise comes from this runner's own numpy generator, so it
    is the same on every device and can be saved.
    """

    env: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rng = np.random.default_rng([self._seed or 0, self.worker_index or 0])
        self._lanes: _Lanes | None = None

    def make_env(self) -> None:
        """Make the vector environment straight from the registered creator, without Gymnasium's registry."""
        if self.env is not None:
            self.env.close()
        context = EnvContext(self.config.env_config, worker_index=self.worker_index, num_workers=self.num_workers)
        context["num_envs"] = self.num_envs = self.config.num_envs_per_env_runner
        self.env = _global_registry.get(ENV_CREATOR, self.config.env)(context)
        mode = self.env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise InputError(
                f"autoreset_mode is {mode}", where=str(self.config.env), remedy="make the vector env reset NEXT_STEP"
            )
        self._lanes = None

    def sample(self, **kwargs: Any) -> Rollout:  # type: ignore[override]
        """Step every lane `rollout_fragment_length` bars. Arguments of RLlib's runner are not used."""
        with self.metrics.log_time(SAMPLE_TIMER), torch.inference_mode():
            rollout = self._fragment(int(self.config.rollout_fragment_length))
        steps = int(rollout.valid.sum())
        self._increase_sampled_metrics(steps, len(rollout.episodes.get("return", ())))
        return rollout

    def _fragment(self, steps: int) -> Rollout:
        lanes, module, env = self._start(), self.module, self.env
        remembers, masked = module.state_size > 0, module.mask_actions
        sampled, device = self.num_env_steps_sampled_lifetime, self._device
        drawn, lanes.noise = module.draw_noise(self._rng, (steps, self.num_envs), sampled, lanes.noise)
        noise = torch.from_numpy(drawn).to(device)
        out = _empty_rollout(self.num_envs, steps, env.single_observation_space.shape, module.head, masked=masked)
        out.memory, out.starts[:, 0] = lanes.memory, lanes.starts
        memory = torch.from_numpy(lanes.memory).to(device)
        ends: list[dict[str, NDArray[np.float64]]] = []
        logps: list[torch.Tensor] = []  # stay on the device until the fragment is done: each copy is a wait
        for t in range(steps):
            out.observations[:, t], out.valid[:, t] = lanes.observations, ~lanes.ended
            if remembers and lanes.starts.any():
                memory = memory * torch.from_numpy(~lanes.starts).to(device)[:, None]
            if masked:
                out.masks[:, t] = env.action_masks()
            explored = module.explore(
                torch.from_numpy(lanes.observations).to(device),
                noise[t],
                sampled,
                memory,
                torch.from_numpy(out.masks[:, t]).to(device) if masked else None,
            )
            memory = explored.memory
            out.actions[:, t] = explored.actions.cpu().numpy()
            logps.append(explored.logp)
            observations, rewards, terminated, truncated, infos = env.step(module.head.to_env(out.actions[:, t]))
            out.rewards[:, t], out.terminated[:, t], out.truncated[:, t] = rewards, terminated, truncated
            lanes.advance(observations, rewards, terminated, truncated)
            if lanes.ended.any():
                ends.append(lanes.pop_episodes(infos))
        out.observations[:, steps] = lanes.observations
        out.starts[:, 1:] = ~out.valid  # a lane that only reset shows its next episode's first observation
        if remembers:
            lanes.memory = memory.cpu().numpy()
        out.logp[:] = torch.stack(logps, 1).cpu().numpy()
        out.episodes = {name: np.concatenate([end[name] for end in ends]) for name in (ends[0] if ends else ())}
        return out

    def _start(self) -> _Lanes:
        """The lanes as the last fragment left them, or freshly reset."""
        if self._lanes is None:
            if self.module.mask_actions and not hasattr(self.env, "action_masks"):
                raise InputError(
                    "the environment has no action_masks", where=str(self.config.env), remedy="unset mask_actions"
                )
            observations, _ = self.env.reset(seed=self._seed, options=self.config.reset_options)
            self._lanes = _Lanes(
                observations=np.ascontiguousarray(observations, np.float32),
                starts=np.ones(self.num_envs, np.bool_),
                memory=np.zeros((self.num_envs, self.module.state_size), np.float32),
                noise=np.zeros((self.num_envs, self.module.noise_state_size), np.float32),
                ended=np.zeros(self.num_envs, np.bool_),
                returns=np.zeros(self.num_envs, np.float64),
                lengths=np.zeros(self.num_envs, np.int64),
            )
        return self._lanes

    def lanes_state(self) -> dict[str, Any] | None:
        """Everything the next fragment depends on besides the weights, or None before the first fragment.

        The environment takes part if it has `get_state` and `set_state`; otherwise its lanes start anew on restore.
        """
        env = self.env
        if self._lanes is None or not hasattr(env, "get_state"):
            return None
        return {
            "worker_index": self.worker_index,
            "rng": self._rng.bit_generator.state,
            "lanes": vars(self._lanes).copy(),
            "env": env.get_state(),
        }

    def set_lanes_state(self, states: list[dict[str, Any] | None]) -> None:
        """Continue from this worker's entry among `lanes_state` results, if there is one."""
        for state in states:
            if state is not None and state["worker_index"] == self.worker_index:
                self._rng.bit_generator.state = state["rng"]
                self._lanes = _Lanes(**{name: value.copy() for name, value in state["lanes"].items()})
                self.env.set_state(state["env"])


def _empty_rollout(
    lanes: int, steps: int, observation_shape: tuple[int, ...], head: ActionHead, *, masked: bool
) -> Rollout:
    """Fresh arrays every time: the learner may still hold the last ones."""
    shape = (lanes, steps)
    return Rollout(
        observations=np.empty((lanes, steps + 1, *observation_shape), np.float32),
        actions=np.empty((*shape, head.num_actions), head.dtype),
        logp=np.empty(shape, np.float32),
        rewards=np.empty(shape, np.float32),
        terminated=np.empty(shape, np.bool_),
        truncated=np.empty(shape, np.bool_),
        valid=np.empty(shape, np.bool_),
        starts=np.empty((lanes, steps + 1), np.bool_),
        memory=np.empty((lanes, 0), np.float32),
        masks=np.empty((*shape, head.num_inputs if masked else 0), np.bool_),
        episodes={},
    )
