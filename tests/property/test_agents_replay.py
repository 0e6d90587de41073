"""The replay ring against a plain list of transitions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.replay import ReplayRing
from agents.runner import Rollout

LANES = 3


def fragments(lengths: list[int], seed: int) -> list[Rollout]:
    """Consecutive fragments in which every observation is a number of its own."""
    rng = np.random.default_rng(seed)
    last, ended, out, number = np.arange(LANES, dtype=np.float32), np.zeros(LANES, np.bool_), [], LANES
    for steps in lengths:
        shape = (LANES, steps)
        observations = np.empty((LANES, steps + 1, 1), np.float32)
        observations[:, 0, 0] = last
        observations[:, 1:, 0] = np.arange(number, number + LANES * steps).reshape(shape)
        number += LANES * steps
        truncated = rng.random(shape) < 0.2
        valid = np.empty(shape, np.bool_)
        for t in range(steps):
            valid[:, t] = ~ended
            truncated[:, t] &= ~ended
            ended = truncated[:, t]
        last = observations[:, steps, 0]
        out.append(
            Rollout(
                observations=observations,
                actions=rng.random((*shape, 1), dtype=np.float32),
                logp=np.zeros(shape, np.float32),
                rewards=rng.random(shape, dtype=np.float32),
                terminated=truncated & (rng.random(shape) < 0.5),
                truncated=truncated,
                valid=valid,
                episodes={},
            )
        )
    return out


def transitions(parts: list[Rollout], keep: int) -> dict[float, tuple[float, float, float, bool]]:
    """observation -> (next observation, action, reward, terminated) of the valid rows among the last `keep` steps."""
    rows = []
    for part in parts:
        for t in range(part.rewards.shape[1]):
            rows.append(
                [
                    (
                        float(part.observations[lane, t, 0]),
                        (
                            float(part.observations[lane, t + 1, 0]),
                            float(part.actions[lane, t, 0]),
                            float(part.rewards[lane, t]),
                            bool(part.terminated[lane, t]),
                        ),
                    )
                    for lane in range(LANES)
                    if part.valid[lane, t]
                ]
            )
    return dict(pair for step in rows[-keep:] for pair in step)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(8, 20), st.integers(0, 2**32 - 1))
def test_holds_the_newest_transitions_and_nothing_else(lengths: list[int], steps: int, seed: int) -> None:
    parts = fragments(lengths, seed)
    ring = ReplayRing(steps, LANES, 1, 1, seed=0)
    for part in parts:
        ring.add(part)
    wanted = transitions(parts, steps - 1)
    if not wanted:
        return
    drawn = ring.sample(2000)
    found = {}
    for row in range(2000):
        key = float(drawn["obs"][row, 0])
        found[key] = (
            float(drawn["new_obs"][row, 0]),
            float(drawn["actions"][row, 0]),
            float(drawn["rewards"][row]),
            bool(drawn["terminateds"][row]),
        )
    assert found == wanted  # 2,000 draws from at most 57 rows: one row is missed once in 1e13 runs


def test_a_restart_of_the_lanes_strikes_out_the_row_it_orphans() -> None:
    first, second = fragments([4], 1)[0], fragments([4], 2)[0]
    second.observations += 1000.0
    ring = ReplayRing(20, LANES, 1, 1, seed=0)
    ring.add(first)
    ring.add(second)
    drawn = ring.sample(500)
    steps = drawn["new_obs"][:, 0] - drawn["obs"][:, 0]
    assert steps.max() < 500.0  # no transition leads from the first life into the second


def test_state_restores_contents_and_draws() -> None:
    parts = fragments([5, 5, 5], 3)
    ring, copy = ReplayRing(9, LANES, 1, 1, seed=0), ReplayRing(9, LANES, 1, 1, seed=7)
    for part in parts[:2]:
        ring.add(part)
    ring.sample(10)
    copy.set_state(ring.get_state())
    for each in (ring, copy):
        each.add(parts[2])
    one, two = ring.sample(50), copy.sample(50)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
