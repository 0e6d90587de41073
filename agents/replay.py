"""A ring of past experience on plain arrays, laid out by time and lane.

An observation is stored once: the next observation of a row is the row after it. That also gives the true last
observation of an episode for free, because with NEXT_STEP autoreset it stands in the row in which the lane resets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.runner import Rollout


class ReplayRing:
    """The last `steps` - 1 steps of `lanes` lanes.

    Args:
        steps: rows of the ring; one of them always holds an observation whose step has not been taken yet.
        lanes: lanes of every fragment added.
        observation_size, action_size: widths of the rows.
        seed: of the sampling.
    """

    def __init__(self, steps: int, lanes: int, observation_size: int, action_size: int, seed: int) -> None:
        self.steps, self.lanes = steps, lanes
        self.observations = np.zeros((steps, lanes, observation_size), np.float32)
        self.actions = np.zeros((steps, lanes, action_size), np.float32)
        self.rewards = np.zeros((steps, lanes), np.float32)
        self.terminated = np.zeros((steps, lanes), np.bool_)
        self.valid = np.zeros((steps, lanes), np.bool_)
        self.head = 0  # row of the observation whose step comes next
        self.filled = 0  # complete rows behind the head
        self._rng = np.random.default_rng(seed)

    @property
    def rows(self) -> int:
        """Transitions held, resets included."""
        return self.filled * self.lanes

    def add(self, rollout: Rollout) -> None:
        """Append a fragment of fewer than `steps` steps; the oldest rows make room.

        The fragment's first observation overwrites the one the last fragment ended with. If the lanes were restarted
        in between, the two differ and the row before is struck out, because its next observation is gone.
        """
        steps = rollout.rewards.shape[1]
        first = rollout.observations[:, 0]
        if self.filled and not np.array_equal(self.observations[self.head], first):
            self.valid[self.head - 1] = False
        places = (self.head + np.arange(steps + 1)) % self.steps
        self.observations[places] = rollout.observations.swapaxes(0, 1)
        places = places[:-1]
        self.actions[places] = rollout.actions.swapaxes(0, 1)
        self.rewards[places] = rollout.rewards.T
        self.terminated[places] = rollout.terminated.T
        self.valid[places] = rollout.valid.T
        self.head = (self.head + steps) % self.steps
        self.filled = min(self.filled + steps, self.steps - 1)

    def sample(self, count: int) -> dict[str, NDArray[Any]]:
        """Draw `count` valid transitions, uniformly and with replacement.

        Returns:
            obs, next_obs float32 (count, D), actions float32 (count, K), rewards float32, terminateds bool (count,).
        """
        now = self._draw(count)
        following = (now + self.lanes) % (self.steps * self.lanes)
        observations = self.observations.reshape(self.steps * self.lanes, -1)
        return {
            "obs": observations[now],
            "new_obs": observations[following],
            "actions": self.actions.reshape(self.steps * self.lanes, -1)[now],
            "rewards": self.rewards.reshape(-1)[now],
            "terminateds": self.terminated.reshape(-1)[now],
        }

    def _draw(self, count: int) -> NDArray[np.int64]:
        """Flat indices (row * lanes + lane) of complete rows; those in which a lane only reset are drawn again."""
        oldest = (self.head - self.filled) * self.lanes
        size, valid = self.steps * self.lanes, self.valid.reshape(-1)
        flat = (oldest + self._rng.integers(self.rows, size=count)) % size
        while (bad := ~valid[flat]).any():
            flat[bad] = (oldest + self._rng.integers(self.rows, size=int(bad.sum()))) % size
        return flat

    def get_state(self) -> dict[str, Any]:
        """Contents (only the rows in use), position and random state."""
        used = self.steps if self.filled == self.steps - 1 else self.head + 1
        arrays = {name: value[:used] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {**arrays, "head": self.head, "filled": self.filled, "rng": self._rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state of a ring of the same shape."""
        for name, value in state.items():
            if name == "rng":
                self._rng.bit_generator.state = value
            elif isinstance(value, np.ndarray):
                getattr(self, name)[: len(value)] = value
            else:
                setattr(self, name, value)
