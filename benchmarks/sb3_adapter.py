"""One of our vector environments as Stable-Baselines3 wants it.

Stable-Baselines3 expects a lane's first observation of the next episode from the very step that ended the last one; our
environments give it one step later (NEXT_STEP) while the other lanes move on, and that step cannot be taken back. So
the end is told one step late: the step that ended the episode looks like any other, and the one after it, in which the
lane only reset, ends the episode with reward 0 at its true last observation. That adds one row to each episode, whose
bootstrapped value is right up to one factor of the discount: nothing for episodes of hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn


class LaneVecEnv(VecEnv):
    """All lanes of a NEXT_STEP vector environment, without a loop over them except where an episode ends."""

    def __init__(self, env: VectorEnv, seed: int = 0) -> None:
        """`seed`: of the first reset."""
        self._env, self._seed = env, seed
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._ended = np.zeros(env.num_envs, np.bool_)
        self._terminated = np.zeros(env.num_envs, np.bool_)
        self._observations = np.empty(0, np.float32)
        self._actions = np.empty(0)
        self._nothing: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]

    def reset(self) -> np.ndarray:
        self._observations, _ = self._env.reset(seed=self._seed)
        self._ended[:] = False
        return self._observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        before, done, terminated = self._observations, self._ended, self._terminated
        observations, rewards, self._terminated, truncated, _ = self._env.step(self._actions)
        self._ended, self._observations = np.logical_or(self._terminated, truncated), observations
        infos = self._nothing
        if done.any():
            infos = list(infos)
            for lane in np.flatnonzero(done):
                infos[lane] = {"terminal_observation": before[lane], "TimeLimit.truncated": not terminated[lane]}
        return observations, np.asarray(rewards, np.float32), done, infos

    def close(self) -> None:
        self._env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Stable-Baselines3 asks for `render_mode`, which none of ours has."""
        return [getattr(self._env, attr_name, None)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("lanes share their attributes")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("lanes have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:  # noqa: ARG002
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))
