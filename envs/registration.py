"""Registers the environments with Gymnasium when imported: `gym.make("envs.registration:Scalping/Bracket-v0", ...)`."""

import gymnasium as gym

ENV_ID = "Scalping/Bracket-v0"


def register() -> None:
    """Add `Scalping/Bracket-v0` (scalar and vector entry points) to Gymnasium's registry, once."""
    if ENV_ID not in gym.registry:
        gym.register(
            id=ENV_ID,
            entry_point="envs.env:ScalpingEnv",
            vector_entry_point="envs.vector_env:ScalpingVectorEnv",
        )


register()
