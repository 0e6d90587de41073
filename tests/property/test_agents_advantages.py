"""Advantages against their definition, for any pattern of episode ends."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agents.advantages import generalised_advantages

GAMMA, LAMBDA = 0.9, 0.8


def by_definition(rewards: np.ndarray, values: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    """Sum (gamma lambda)^k delta_{t+k} up to and including the episode's last step; one lane."""
    steps = len(rewards)
    out = np.zeros(steps)
    for t in range(steps):
        weight = 1.0
        for u in range(t, steps):
            following = 0.0 if terminated[u] else values[u + 1]
            out[t] += weight * (rewards[u] + GAMMA * following - values[u])
            weight *= GAMMA * LAMBDA
            if terminated[u] or truncated[u]:
                break
    return out


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 3))
def test_equals_the_definition(data: st.DataObject, steps: int, lanes: int) -> None:
    numbers = st.floats(-5, 5, width=32)
    rewards = data.draw(arrays(np.float32, (lanes, steps), elements=numbers))
    values = data.draw(arrays(np.float32, (lanes, steps + 1), elements=numbers))
    terminated = data.draw(arrays(np.bool_, (lanes, steps)))
    truncated = data.draw(arrays(np.bool_, (lanes, steps)))
    found = generalised_advantages(rewards, values, terminated, truncated, GAMMA, LAMBDA)
    wanted = [by_definition(*row) for row in zip(rewards, values, terminated, truncated, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_follows_an_end_does_not_reach_before_it() -> None:
    rewards, values = np.ones((2, 6), np.float32), np.ones((2, 7), np.float32)
    terminated, truncated = np.zeros((2, 6), np.bool_), np.zeros((2, 6), np.bool_)
    terminated[0, 2] = truncated[1, 2] = True
    before = generalised_advantages(rewards, values, terminated, truncated, GAMMA, LAMBDA)
    rewards[:, 3:], values[:, 4:] = 99.0, -99.0  # row 3 is the reset, whose observation (value 3) is the true last one
    after = generalised_advantages(rewards, values, terminated, truncated, GAMMA, LAMBDA)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    values[:, 3] = 50.0
    last = generalised_advantages(rewards, values, terminated, truncated, GAMMA, LAMBDA)
    np.testing.assert_array_equal(before[0, :3], last[0, :3])  # terminated: worth nothing any more
    assert last[1, 2] > before[1, 2] + 40.0  # truncated: continued by the value of the last observation
