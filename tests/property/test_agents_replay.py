"""The replay ring against a plain list of transitions, drawing by priority against brute force."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.replay import SMALLEST_ERROR, ReplayRing, ring_steps
from agents.runner import Rollout
from agents.sum_tree import empty_tree, find_leaves, rebuild, set_leaves
from data_pipeline.errors import InputError

LANES = 3
GAMMA = 0.9


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
                starts=np.zeros((LANES, steps + 1), np.bool_),
                memory=np.zeros((LANES, 0), np.float32),
                masks=np.zeros((*shape, 0), np.bool_),
                episodes={},
            )
        )
    return out


Transition = tuple[float, float, float, float]


def transitions(parts: list[Rollout], keep: int, n_step: int) -> dict[float, Transition]:
    """observation -> (observation that follows, action, return, discount) of the valid rows of the last `keep` steps.

    Written from the definition, over each lane's plain list of steps.
    """
    found: dict[float, Transition] = {}
    for lane in range(LANES):
        steps = [
            (
                float(part.observations[lane, t, 0]),
                float(part.observations[lane, t + 1, 0]),
                float(part.actions[lane, t, 0]),
                float(part.rewards[lane, t]),
                bool(part.terminated[lane, t]),
                bool(part.truncated[lane, t]),
                bool(part.valid[lane, t]),
            )
            for part in parts
            for t in range(part.rewards.shape[1])
        ]
        for first in range(max(0, len(steps) - keep), len(steps)):
            seen, _, action, _, _, _, valid = steps[first]
            if not valid:
                continue
            total, discount = 0.0, 1.0
            for _, after, _, reward, terminated, truncated, _ in steps[first : first + n_step]:
                total, discount, last = total + discount * reward, discount * GAMMA, after
                if terminated:
                    discount = 0.0
                if terminated or truncated:
                    break
            found[seen] = (last, action, total, discount)
    return found


def drawn_rows(batch: dict[str, np.ndarray]) -> dict[float, Transition]:
    columns = (batch["new_obs"][:, 0], batch["actions"][:, 0], batch["rewards"], batch["discounts"])
    return {
        float(key): tuple(map(float, row)) for key, row in zip(batch["obs"][:, 0], np.stack(columns, 1), strict=True)
    }


def same(found: dict[float, Transition], wanted: dict[float, Transition]) -> bool:
    return found.keys() == wanted.keys() and all(np.allclose(found[key], wanted[key], atol=1e-5) for key in wanted)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.integers(8, 20),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.7]),
    st.integers(0, 2**32 - 1),
)
def test_holds_the_newest_transitions_and_nothing_else(
    lengths: list[int], steps: int, n_step: int, exponent: float, seed: int
) -> None:
    parts = fragments(lengths, seed)
    ring = ReplayRing(steps, LANES, 1, 1, seed=0, gamma=GAMMA, n_step=n_step, priority_exponent=exponent)
    for part in parts:
        ring.add(part)
    wanted = transitions(parts, steps - 1, n_step)
    if wanted:
        batch = ring.sample(40, 50, 0.5)
        assert same(drawn_rows(batch), wanted)  # 2,000 draws from at most 57 rows: one is missed once in 1e13 runs
        np.testing.assert_array_equal(batch["weights"], 1.0)  # nothing has been learned: all rows are alike
    else:
        with pytest.raises(InputError, match="nothing to draw"):
            ring.sample(1, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.integers(8, 14),
    st.sampled_from([2, 4, 8]),
    st.integers(0, 2**32 - 1),
)
def test_memory_is_what_the_episode_has_shown_so_far(lengths: list[int], steps: int, window: int, seed: int) -> None:
    """Against each lane's plain list of observations; the ring knows those that it still holds."""
    parts = fragments(lengths, seed)
    ring = ReplayRing(steps, LANES, 1, 1, seed=0, gamma=GAMMA, n_step=2, window=window, market=1)
    for part in parts:
        ring.add(part)
    if not ring.valid.any():
        return
    before: dict[float, list[float]] = {}  # observation -> those before it in its episode, newest first
    for lane in range(LANES):
        shown = np.concatenate(
            [part.observations[lane, :-1, 0] for part in parts] + [parts[-1].observations[lane, -1:, 0]]
        )
        valid = np.concatenate([part.valid[lane] for part in parts])
        for t in range(max(0, len(shown) - steps), len(shown)):
            past: list[float] = []
            for u in range(t - 1, max(-1, len(shown) - steps - 1), -1):
                if not valid[u]:
                    break
                past.append(float(shown[u]))
            before[float(shown[t])] = past
    batch = ring.sample(10, 20)
    for seen, memory in (("obs", "memory"), ("new_obs", "new_memory")):
        for key, row in zip(batch[seen][:, 0], batch[memory].reshape(-1, window - 1, 2), strict=True):
            past = before[float(key)][: window - 1]
            assert row[::-1][: len(past), 0].tolist() == past
            np.testing.assert_array_equal(row[::-1, 1], np.arange(window - 1) < len(past))


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_restart_of_a_lane_strikes_out_the_row_it_orphans(n_step: int) -> None:
    first, second = fragments([4], 1)[0], fragments([4], 2)[0]
    second.observations += 1000.0
    second.observations[0, 0] = first.observations[0, -1]  # this lane goes on where it was
    ring = ReplayRing(20, LANES, 1, 1, seed=0, gamma=GAMMA, n_step=n_step, priority_exponent=0.5)
    ring.add(first)
    ring.add(second)
    found = drawn_rows(ring.sample(10, 50))
    crossing = {seen for seen, (after, *_) in found.items() if seen < 500.0 < after}
    assert crossing <= set(first.observations[0, :, 0].tolist()) | {float(second.observations[0, 0, 0])}
    assert crossing  # the lane that went on does lead from one fragment into the next


class BruteForce:
    """What drawing by priority means, with plain lists: a leaf for each row that can be drawn."""

    def __init__(self, exponent: float) -> None:
        self.exponent, self.largest = exponent, 1.0
        self.values: dict[float, float] = {}

    def hold(self, seen: set[float]) -> None:
        self.values = {key: self.values.get(key, self.largest) for key in seen}

    def weights(self, keys: list[float], beta: float) -> np.ndarray:
        total = sum(self.values.values())
        raw = np.array([(len(self.values) * self.values[key] / total) ** -beta for key in keys])
        return raw / raw.max()

    def learn(self, keys: list[float], errors: np.ndarray) -> None:
        for key, error in zip(keys, errors.tolist(), strict=True):
            self.values[key] = (abs(error) + SMALLEST_ERROR) ** self.exponent
            self.largest = max(self.largest, self.values[key])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=14), st.integers(8, 14), st.integers(0, 2**32 - 1))
def test_priorities_are_those_of_a_brute_force_reference(lengths: list[int], steps: int, seed: int) -> None:
    """Leaves, weights and the chance of each row after every fragment and update, round the ring several times."""
    rng, exponent, beta = np.random.default_rng(seed), 0.6, 0.7
    ring = ReplayRing(steps, LANES, 1, 1, seed=1, gamma=GAMMA, priority_exponent=exponent)
    reference, parts = BruteForce(exponent), fragments(lengths, seed)
    for number, part in enumerate(parts, start=1):
        ring.add(part)
        reference.hold(set(transitions(parts[:number], steps - 1, 1)))
        rows = ring.observations[ring.valid][:, 0].tolist()
        assert dict(zip(rows, ring.leaves[ring.valid].tolist(), strict=True)) == pytest.approx(reference.values)
        assert not ring.leaves[~ring.valid].any()
        assert ring.tree[1] == pytest.approx(sum(reference.values.values()))
        if not rows:
            continue
        batch = ring.sample(3, 8, beta)
        keys = batch["obs"][:, 0].tolist()
        np.testing.assert_allclose(batch["weights"], reference.weights(keys, beta), rtol=1e-5)
        errors = rng.exponential(2.0, len(keys)).astype(np.float32)
        reference.learn(keys, errors)
        ring.update_priorities(errors)
        ring.update_priorities(np.full(len(keys), np.nan, np.float32))  # an update that was undone says nothing


def test_rows_are_drawn_as_often_as_their_priority_says() -> None:
    ring = ReplayRing(20, LANES, 1, 1, seed=0, gamma=GAMMA, priority_exponent=1.0)
    ring.add(fragments([19], 5)[0])
    batch = ring.sample(1, 200)
    ring.update_priorities(np.random.default_rng(0).exponential(1.0, 200).astype(np.float32))
    keys, counts = np.unique(ring.sample(500, 40)["obs"], return_counts=True)
    chance = dict(zip(ring.observations[ring.valid][:, 0], ring.leaves[ring.valid] / ring.tree[1], strict=True))
    assert len(batch["obs"]) == 200
    np.testing.assert_allclose(counts / 20_000, [chance[key] for key in keys], atol=0.01)


@pytest.mark.parametrize("leaves", [1, 2, 5, 64])
def test_a_sum_tree_finds_what_a_running_sum_finds(leaves: int) -> None:
    rng = np.random.default_rng(leaves)
    tree, values = empty_tree(leaves), np.zeros(leaves)
    for _ in range(20):
        places = rng.integers(leaves, size=5)
        news = rng.choice([0.0, 0.3, 1.0, 1e-9], 5)
        set_leaves(tree, places, news)
        for place, new in zip(places, news, strict=True):
            values[place] = new
        np.testing.assert_array_equal(tree[len(tree) // 2 :][:leaves], values)
        if not values.any():
            continue
        again = tree.copy()
        again[: len(tree) // 2] = 0.0
        rebuild(again)
        np.testing.assert_array_equal(again[1:], tree[1:])
        shares = np.append(rng.random(50), [0.0, np.nextafter(1.0, 0.0)])
        found = find_leaves(tree, shares)
        wanted = np.searchsorted(np.cumsum(values), shares * values.sum(), side="right")
        assert (values[found] > 0.0).all()
        assert np.mean(found[:-1] == wanted[:-1]) > 0.95  # sums in another order round differently at the borders


def test_rounding_never_leads_to_an_empty_leaf() -> None:
    rounded_up = np.array([0.0, 2.0, 1.0, 0.0])  # a root larger than its leaves, 1 and 0
    assert find_leaves(rounded_up, np.array([0.9])).tolist() == [0]


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_state_restores_contents_priorities_and_draws(exponent: float) -> None:
    parts = fragments([5, 5, 5], 3)
    ring, copy = (
        ReplayRing(9, LANES, 1, 1, seed=seed, gamma=GAMMA, n_step=3, priority_exponent=exponent) for seed in (0, 7)
    )
    for part in parts[:2]:
        ring.add(part)
        ring.sample(2, 5)
        ring.update_priorities(np.linspace(0.0, 3.0, 10, dtype=np.float32))
    copy.set_state(pickle.loads(pickle.dumps(ring.get_state())))
    for each in (ring, copy):
        each.add(parts[2])
    one, two = ring.sample(5, 10, 0.4), copy.sample(5, 10, 0.4)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_ring_keeps_to_its_memory() -> None:
    settings = {"rows": 100_000, "lanes": 10, "observation_size": 20, "action_size": 3}
    assert ring_steps(**settings, prioritised=True, megabytes=0) == 10_000
    for prioritised in (False, True):
        steps = ring_steps(**settings, prioritised=prioritised, megabytes=2)
        ring = ReplayRing(steps, 10, 20, 3, seed=0, gamma=GAMMA, priority_exponent=float(prioritised))
        taken = sum(value.nbytes for value in vars(ring).values() if isinstance(value, np.ndarray))
        assert 0.7 * 2**21 < taken <= 2**21
