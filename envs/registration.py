"""Registers the environments with Gymnasium when imported: `gym.make("envs.registration:Scalping/Bracket-v0")`.

Gymnasium no longer loads plug-ins through entry points, so the module is named before the id, or imported first.
"""

import gymnasium as gym

ENV_ID = "Scalping/Bracket-v0"
BOOK_ENV_ID = "Scalping/Book-v0"


def register() -> None:
    """Add `Scalping/Bracket-v0` and `Scalping/Book-v0` (scalar and vector entry points) to the registry, once."""
    places = {
        ENV_ID: ("envs.env:ScalpingEnv", "envs.vector_env:ScalpingVectorEnv"),
        BOOK_ENV_ID: ("envs.book.env:BookEnv", "envs.book.env:BookVectorEnv"),
    }
    for name, (scalar, vector) in places.items():
        if name not in gym.registry:
            gym.register(id=name, entry_point=scalar, vector_entry_point=vector)


register()
