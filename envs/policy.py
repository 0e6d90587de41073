"""What anything that trades must offer: RL checkpoints, ONNX files and rules all serve as one."""

from typing import Protocol, runtime_checkable

import numpy as np


class Policy(Protocol):
    """Chooses an action for each row of observations."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions for float32 observations (N, D), batched in the env's action space."""
        ...


@runtime_checkable
class RememberingPolicy(Protocol):
    """A policy that may also go by what a lane has seen before. It keeps none of that itself: whoever asks it hands
    over each lane's memory and keeps what comes back, as `Seat` does."""

    state_size: int
    """Numbers of memory per lane; 0 for a policy that goes by the observation alone."""

    def respond(self, observations: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions for float32 observations (N, D) given memory float32 (N, state_size), and memory after them. Zeros
        are the memory of a lane that has seen nothing."""
        ...


class Seat:
    """A policy in charge of lanes, with what it remembers of each.

    memory  float32 (N, S), S = 0 for rules and other policies without memory
    """

    def __init__(self, policy: Policy, lanes: int) -> None:
        remembers = isinstance(policy, RememberingPolicy) and policy.state_size > 0
        self._policy = policy
        self._remembering: RememberingPolicy | None = policy if remembers else None  # type: ignore[assignment]
        self.memory = np.zeros((lanes, self._remembering.state_size if self._remembering else 0), dtype=np.float32)

    @property
    def remembers(self) -> bool:
        """Whether the policy has a memory."""
        return self._remembering is not None

    def begin(self) -> None:
        """Forget everything: what comes next has nothing to do with what was seen."""
        self.memory = np.zeros_like(self.memory)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """The policy's actions for the next observations (N, D) of the lanes."""
        if self._remembering is None:
            return self._policy.act(observations)
        actions, self.memory = self._remembering.respond(observations, self.memory)
        return actions
