"""A ring of past experience on plain arrays, laid out by time and lane, drawn from uniformly or by priority.

An observation is stored once: the next observation of a row is the row after it. That also gives the true last
observation of an episode for free, because with NEXT_STEP autoreset it stands in the row in which the lane resets.
That row is not `valid`, and neither is the row whose step has not been taken yet; so a return over several steps goes
on exactly as long as the next row is valid, and is then continued by the value of that row's observation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.ring_walks import walk_back, walk_returns
from agents.runner import Rollout
from agents.sum_tree import empty_tree, find_leaves, rebuild, set_leaves
from data_pipeline.errors import InputError

SMALLEST_ERROR = 1e-3  # added to TD errors, so that a row the critic knows well is still drawn now and then
MEBIBYTE = 1 << 20


class ReplayRing:
    """The last `steps` - 1 steps of `lanes` lanes.

    With `priority_exponent` > 0 rows are drawn in proportion to priority ** exponent, where the priority is the size of
    the row's last TD error and new rows get the largest seen (Schaul et al. 2016, proportional variant).

    Args:
        steps: rows of the ring; one of them always holds an observation whose step has not been taken yet.
        lanes: lanes of every fragment added.
        observation_size, action_size: widths of the rows.
        seed: of the sampling.
        gamma: discount per step.
        n_step: rewards summed before the return is continued by a value.
        priority_exponent: 0 draws uniformly.
        window: observations that a network sees, the current one included; 1 for networks without memory.
        market: columns of an observation, the first ones, that it sees of the earlier ones.
    """

    def __init__(
        self,
        steps: int,
        lanes: int,
        observation_size: int,
        action_size: int,
        seed: int,
        *,
        gamma: float,
        n_step: int = 1,
        priority_exponent: float = 0.0,
        window: int = 1,
        market: int = 0,
    ) -> None:
        self.steps, self.lanes = steps, lanes
        self.gamma, self.n_step, self.priority_exponent = gamma, n_step, priority_exponent
        self.window, self.market = window, market
        self.observations = np.zeros((steps, lanes, observation_size), np.float32)
        self.actions = np.zeros((steps, lanes, action_size), np.float32)
        self.rewards = np.zeros((steps, lanes), np.float32)
        self.terminated = np.zeros((steps, lanes), np.bool_)
        self.valid = np.zeros((steps, lanes), np.bool_)
        self.tree = empty_tree(steps * lanes if priority_exponent > 0.0 else 1)
        self.largest = 1.0  # value of a leaf whose row has not been learned from yet
        self.head = 0  # row of the observation whose step comes next
        self.filled = 0  # complete rows behind the head
        self._rng = np.random.default_rng(seed)
        self._drawn, self._following = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._batch: dict[str, NDArray[Any]] = {}

    @property
    def rows(self) -> int:
        """Transitions held, resets included."""
        return self.filled * self.lanes

    @property
    def leaves(self) -> NDArray[np.float64]:
        """Priority ** exponent of each row, float64 (steps, lanes); zero where a row is not valid."""
        first = len(self.tree) // 2
        return self.tree[first : first + self.valid.size].reshape(self.valid.shape)

    def add(self, rollout: Rollout) -> None:
        """Append a fragment of fewer than `steps` steps; the oldest rows make room.

        The fragment's first observation overwrites the one the last fragment ended with. In a lane that was restarted
        in between the two differ, and its row before is struck out, because its next observation is gone.
        """
        steps = rollout.rewards.shape[1]
        broken = (self.observations[self.head] != rollout.observations[:, 0]).any(-1)
        self.valid[self.head - 1] &= ~broken
        places = (self.head + np.arange(steps + 1)) % self.steps
        self.observations[places] = rollout.observations.swapaxes(0, 1)
        self.valid[places[-1]] = False
        changed, places = np.append(self.head - 1, places), places[:-1]
        self.actions[places] = rollout.actions.swapaxes(0, 1)
        self.rewards[places] = rollout.rewards.T
        self.terminated[places] = rollout.terminated.T
        self.valid[places] = rollout.valid.T
        self.head = (self.head + steps) % self.steps
        self.filled = min(self.filled + steps, self.steps - 1)
        if self.priority_exponent > 0.0:
            self._refresh(changed % self.steps)

    def _refresh(self, places: NDArray[np.int64]) -> None:
        """Leaves of ring rows that changed: none for what is not valid, the largest for what is new."""
        values = np.where(self.valid[places], self.largest, 0.0)
        values[0] = np.where(self.valid[places[0]], self.leaves[places[0]], 0.0)  # of the row before, only struck out
        flat = places[:, None] * self.lanes + np.arange(self.lanes)
        set_leaves(self.tree, flat.reshape(-1), values.reshape(-1))

    def sample(self, batches: int, size: int, importance_exponent: float = 0.0) -> dict[str, NDArray[Any]]:
        """Draw `batches` batches of `size` valid transitions with replacement, one after another.

        By priority, each batch takes one row from each of `size` equal parts of the total. Its rows then weigh
        (N P) ** -importance_exponent, N being the valid rows and P a row's probability, over the largest such weight
        of this call; drawn uniformly they weigh one.

        Returns:
            obs, new_obs float32 (count, D), actions float32 (count, K), rewards (discounted sum of up to `n_step`),
            discounts (factor of the value of new_obs, zero after a terminal step), weights float32 (count,), where
            count = batches * size; with a window also memory and new_memory float32 (count, (window - 1) (market + 1)),
            as `agents.encoders.Window` keeps it. The arrays are used again by the next call.

        Raises:
            InputError: no row can be learned from.
        """
        if not self.valid.any():
            raise InputError("there is nothing to draw from", where="replay", remedy="add experience first")
        count = batches * size
        if len(self._drawn) != count:
            self._drawn, self._following = np.empty(count, np.int64), np.empty(count, np.int64)
            self._batch = self._empty_batch(count)
        batch = self._batch
        if self.priority_exponent > 0.0:
            shares = (np.arange(size) + self._rng.random((batches, size))) / size
            self._drawn[:] = find_leaves(self.tree, shares.reshape(-1))
            values = self.leaves.reshape(-1)[self._drawn]
            weights = (values * (np.count_nonzero(self.valid) / self.tree[1])) ** -importance_exponent
            batch["weights"][:] = weights / weights.max()
        else:
            self._drawn[:] = self._uniform(count)
        walk_returns(
            self.rewards.reshape(-1),
            self.terminated.reshape(-1),
            self.valid.reshape(-1),
            self._drawn,
            self.lanes,
            self.n_step,
            self.gamma,
            self._following,
            batch["rewards"],
            batch["discounts"],
        )
        rows = self.steps * self.lanes
        observations, actions = self.observations.reshape(rows, -1), self.actions.reshape(rows, -1)
        for name, source, places in (
            ("obs", observations, self._drawn),
            ("new_obs", observations, self._following),
            ("actions", actions, self._drawn),
        ):
            np.take(source, places, axis=0, out=batch[name], mode="clip")  # "raise" would copy once more
        if self.window > 1:
            for name, places in (("memory", self._drawn), ("new_memory", self._following)):
                past = batch[name].reshape(count, self.window - 1, self.market + 1)
                walk_back(observations, self.valid.reshape(-1), places, self.lanes, past)
        return dict(batch)

    def _empty_batch(self, count: int) -> dict[str, NDArray[np.float32]]:
        observation = (count, self.observations.shape[-1])
        shapes = {"obs": observation, "new_obs": observation, "actions": (count, self.actions.shape[-1])}
        if self.window > 1:
            memory = (count, (self.window - 1) * (self.market + 1))
            shapes |= {"memory": memory, "new_memory": memory}
        batch = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        return batch | {name: np.ones(count, np.float32) for name in ("rewards", "discounts", "weights")}

    def _uniform(self, count: int) -> NDArray[np.int64]:
        """Flat indices (row * lanes + lane) of complete rows; those in which a lane only reset are drawn again."""
        oldest = (self.head - self.filled) * self.lanes
        size, valid = self.steps * self.lanes, self.valid.reshape(-1)
        flat = (oldest + self._rng.integers(self.rows, size=count)) % size
        while (bad := np.flatnonzero(~valid[flat])).size:
            flat[bad] = (oldest + self._rng.integers(self.rows, size=bad.size)) % size
        return flat

    def update_priorities(self, errors: NDArray[np.float32]) -> None:
        """Take in the TD errors (count,) of the rows drawn last, in the order drawn; of a row drawn twice the last.

        Without priorities, or when an error is not finite (the update was undone), nothing changes.
        """
        if self.priority_exponent > 0.0 and np.isfinite(errors).all():
            values = (np.abs(errors.astype(np.float64)) + SMALLEST_ERROR) ** self.priority_exponent
            set_leaves(self.tree, self._drawn, values)
            self.largest = max(self.largest, float(values.max()))

    def get_state(self) -> dict[str, Any]:
        """Contents (only the rows in use), priorities, position and random state."""
        used = self.steps if self.filled == self.steps - 1 else self.head + 1
        names = ("observations", "actions", "rewards", "terminated", "valid")
        state: dict[str, Any] = {name: getattr(self, name)[:used] for name in names}
        if self.priority_exponent > 0.0:
            state["leaves"] = self.leaves[:used]
        places = {"head": self.head, "filled": self.filled, "largest": self.largest}
        return state | places | {"rng": self._rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state of a ring of the same shape."""
        for name, value in state.items():
            if name == "rng":
                self._rng.bit_generator.state = value
            elif isinstance(value, np.ndarray):
                getattr(self, name)[: len(value)] = value
            else:
                setattr(self, name, value)
        rebuild(self.tree)


def ring_steps(
    rows: int, lanes: int, observation_size: int, action_size: int, *, prioritised: bool, megabytes: int
) -> int:
    """Steps of a ring of at most `rows` transitions that takes at most `megabytes` MiB (0: no such limit)."""
    steps = rows // lanes
    if megabytes:
        tree = 4 * 8 if prioritised else 0  # two nodes a leaf, and up to twice the leaves for a power of two
        row = 4 * (observation_size + action_size + 1) + 2 + tree
        steps = min(steps, megabytes * MEBIBYTE // (row * lanes))
    return steps
