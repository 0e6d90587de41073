"""What anything that trades must offer: RL checkpoints, ONNX files and rules all serve as one."""

from typing import Protocol

import numpy as np


class Policy(Protocol):
    """Chooses an action for each row of observations."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions for float32 observations (N, D), batched in the env's action space."""
        ...
