"""Small vector environments with known good returns, for testing the algorithms without a market."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


def make_cartpole(config: dict[str, Any]) -> VectorEnv:
    """Gymnasium's own vector CartPole: NEXT_STEP, Discrete(2)."""
    return CartPoleVectorEnv(num_envs=config.get("num_envs", 1), max_episode_steps=200)


class Pendulum(VectorEnv):
    """Pendulum-v1 for many lanes (same equations); its state can be saved. `aim` MultiDiscrete offers torque levels."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int, actions: str = "continuous", episode: int = 200) -> None:
        self.num_envs, self.episode = num_envs, episode
        bound = np.array([1.0, 1.0, 8.0], np.float32)
        self.single_observation_space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        self.single_action_space = (
            gym.spaces.Box(-2.0, 2.0, (1,), np.float32) if actions == "continuous" else gym.spaces.MultiDiscrete([5, 2])
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.theta, self.speed = np.zeros(num_envs), np.zeros(num_envs)
        self.age, self.ended = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._begin(np.ones(self.num_envs, np.bool_))
        self.ended[:] = False
        return self._observe(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        if isinstance(self.single_action_space, gym.spaces.Box):
            torque = np.clip(actions[:, 0].astype(np.float64), -2.0, 2.0)
        else:
            torque = (actions[:, 0] - 2.0) * (1 - actions[:, 1])
        angle = (self.theta + np.pi) % (2 * np.pi) - np.pi
        rewards = -(angle**2 + 0.1 * self.speed**2 + 0.001 * torque**2)
        speed = np.clip(self.speed + (15.0 * np.sin(self.theta) + 3.0 * torque) * 0.05, -8.0, 8.0)
        self.theta, self.speed = self.theta + speed * 0.05, speed
        self.age += 1
        rewards[self.ended] = 0.0
        self._begin(self.ended)
        self.ended = self.age >= self.episode
        infos = {"episode": {"last_angle": angle}, "_episode": self.ended} if self.ended.any() else {}
        return self._observe(), rewards, np.zeros(self.num_envs, np.bool_), self.ended.copy(), infos

    def _begin(self, which: np.ndarray) -> None:
        count = int(which.sum())
        self.theta[which] = self.np_random.uniform(-np.pi, np.pi, count)
        self.speed[which] = self.np_random.uniform(-1.0, 1.0, count)
        self.age[which] = 0

    def _observe(self) -> np.ndarray:
        return np.stack([np.cos(self.theta), np.sin(self.theta), self.speed], 1).astype(np.float32)

    def get_state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).copy() for name in ("theta", "speed", "age", "ended")}
        return {**arrays, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in ("theta", "speed", "age", "ended"):
            setattr(self, name, state[name].copy())
        self.np_random.bit_generator.state = state["rng"]


def make_pendulum(config: dict[str, Any]) -> VectorEnv:
    return Pendulum(config.get("num_envs", 1), config.get("actions", "continuous"), config.get("episode", 200))
