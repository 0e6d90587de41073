"""Small vector environments with known good returns, for testing the algorithms without a market."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

STEP = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]


class Lanes(VectorEnv):
    """What both environments share: lanes that end after `episode` steps and reset on the next, and saved state."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    state_names: ClassVar[tuple[str, ...]] = ("age", "ended")

    def __init__(self, num_envs: int, observation: gym.Space, action: gym.Space, episode: int) -> None:
        self.num_envs, self.episode = num_envs, episode
        self.single_observation_space, self.single_action_space = observation, action
        self.observation_space, self.action_space = batch_space(observation, num_envs), batch_space(action, num_envs)
        self.age, self.ended = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.begin(np.ones(self.num_envs, np.bool_))
        self.age[:], self.ended[:] = 0, False
        return self.observe(), {}

    def advance(self, rewards: np.ndarray) -> STEP:
        """Count the step, reset the lanes that had ended, and put the answer together."""
        self.age += 1
        rewards[self.ended] = 0.0
        self.age[self.ended] = 0
        self.begin(self.ended)
        self.ended = self.age >= self.episode
        infos = {"account": {"twice_the_age": 2.0 * self.age}, "_account": self.ended} if self.ended.any() else {}
        return self.observe(), rewards, np.zeros(self.num_envs, np.bool_), self.ended.copy(), infos

    def begin(self, which: np.ndarray) -> None:
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).copy() for name in self.state_names}
        return {**arrays, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in self.state_names:
            setattr(self, name, state[name].copy())
        self.np_random.bit_generator.state = state["rng"]


class Pendulum(Lanes):
    """Pendulum-v1 (same equations) for many lanes."""

    state_names = ("age", "ended", "theta", "speed")

    def __init__(self, num_envs: int, episode: int = 200) -> None:
        bound = np.array([1.0, 1.0, 8.0], np.float32)
        observation = gym.spaces.Box(-bound, bound, dtype=np.float32)
        super().__init__(num_envs, observation, gym.spaces.Box(-2.0, 2.0, (1,), np.float32), episode)
        self.theta, self.speed = np.zeros(num_envs), np.zeros(num_envs)

    def step(self, actions: np.ndarray) -> STEP:
        torque = np.clip(actions[:, 0].astype(np.float64), -2.0, 2.0)
        angle = (self.theta + np.pi) % (2 * np.pi) - np.pi
        rewards = -(angle**2 + 0.1 * self.speed**2 + 0.001 * torque**2)
        self.speed = np.clip(self.speed + (15.0 * np.sin(self.theta) + 3.0 * torque) * 0.05, -8.0, 8.0)
        self.theta = self.theta + self.speed * 0.05
        return self.advance(rewards)

    def begin(self, which: np.ndarray) -> None:
        self.theta[which] = self.np_random.uniform(-np.pi, np.pi, int(which.sum()))
        self.speed[which] = self.np_random.uniform(-1.0, 1.0, int(which.sum()))

    def observe(self) -> np.ndarray:
        return np.stack([np.cos(self.theta), np.sin(self.theta), self.speed], 1).astype(np.float32)


class Aim(Lanes):
    """Say what you see: two numbers in [-1, 1] are shown, and the action should tell them.

    box             Box([-2, 0], [2, 4]): the numbers stretched over the box; reward -(mean squared miss, in half
                    ranges), 0 at best, -1/3 for always the middle, -2/3 for uniform actions
    multi_discrete  MultiDiscrete([3, 4]): which third, which quarter; reward is the share of right answers
    discrete        Discrete(3): the first of these
    """

    state_names = ("age", "ended", "seen")

    def __init__(self, num_envs: int, actions: str, episode: int = 20) -> None:
        self.spaces = {
            "box": gym.spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 4.0], np.float32)),
            "multi_discrete": gym.spaces.MultiDiscrete([3, 4]),
            "discrete": gym.spaces.Discrete(3),
        }
        self.kind = actions
        super().__init__(num_envs, gym.spaces.Box(-1.0, 1.0, (2,), np.float32), self.spaces[actions], episode)
        self.seen = np.zeros((num_envs, 2))

    def step(self, actions: np.ndarray) -> STEP:
        assert self.action_space.contains(actions), actions
        if self.kind == "box":
            rewards = -np.mean(((actions - np.array([0.0, 2.0])) / 2.0 - self.seen) ** 2, axis=1)
        else:
            answers = np.minimum((self.seen + 1.0) / 2.0 * [3, 4], [2, 3]).astype(np.int64)
            rewards = np.mean(actions.reshape(self.num_envs, -1) == answers[:, : 1 + (actions.ndim > 1)], axis=1)
        self.seen = self.np_random.uniform(-1.0, 1.0, self.seen.shape)
        return self.advance(rewards)

    def begin(self, which: np.ndarray) -> None:
        self.seen[which] = self.np_random.uniform(-1.0, 1.0, (int(which.sum()), 2))

    def observe(self) -> np.ndarray:
        return self.seen.astype(np.float32)


class Recall(Lanes):
    """Say at the end of an episode what was shown at its beginning: one of three cues, for one step only.

    Observations are [cue in {-1, 0, 1}, noise, 1 when asked]; the reward is 1 for the right answer in the last step,
    nothing before: 1/3 an episode for anyone without memory. One of the wrong answers is masked, in turns.
    """

    state_names = ("age", "ended", "cue", "noise")

    def __init__(self, num_envs: int, episode: int = 6) -> None:
        super().__init__(num_envs, gym.spaces.Box(-4.0, 4.0, (3,), np.float32), gym.spaces.Discrete(3), episode)
        self.cue, self.noise = np.zeros(num_envs, np.int64), np.zeros(num_envs)
        self.forbidden = 0  # masked actions that were taken

    def step(self, actions: np.ndarray) -> STEP:
        self.forbidden += int((~self.action_masks()[np.arange(self.num_envs), actions]).sum())
        asked = self.age == self.episode - 1
        return self.advance(np.where(asked & (actions == self.cue), 1.0, 0.0))

    def begin(self, which: np.ndarray) -> None:
        self.cue[which] = self.np_random.integers(3, size=int(which.sum()))

    def observe(self) -> np.ndarray:
        self.noise = self.np_random.uniform(-1.0, 1.0, self.num_envs)
        shown = np.where(self.age == 0, self.cue - 1, 0)
        return np.stack([shown, self.noise, self.age == self.episode - 1], 1).astype(np.float32)

    def action_masks(self) -> np.ndarray:
        masks = np.ones((self.num_envs, 3), np.bool_)
        masks[np.arange(self.num_envs), (self.cue + 1 + self.age % 2) % 3] = False
        return masks


def make_recall(config: dict[str, Any]) -> VectorEnv:
    return Recall(config["num_envs"], config.get("episode", 6))


def make_cartpole(config: dict[str, Any]) -> VectorEnv:
    """Gymnasium's own vector CartPole: NEXT_STEP, Discrete(2)."""
    return CartPoleVectorEnv(num_envs=config["num_envs"], max_episode_steps=200)


def make_pendulum(config: dict[str, Any]) -> VectorEnv:
    return Pendulum(config["num_envs"], config.get("episode", 200))


def make_gymnasium_pendulum(config: dict[str, Any]) -> VectorEnv:
    """Gymnasium's own Pendulum-v1, lane by lane: NEXT_STEP, episodes of 200 steps cut short (truncated)."""
    options = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    return gym.make_vec("Pendulum-v1", config["num_envs"], vectorization_mode="sync", vector_kwargs=options)


def make_aim(config: dict[str, Any]) -> VectorEnv:
    return Aim(config["num_envs"], config["actions"], config.get("episode", 20))
