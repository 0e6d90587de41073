"""The replay buffer keeps its promises on size, recency and uniformity."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from supervised.replay import ReplayBuffer


def numbered(number: int, rows: int, labelled: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A chunk whose values tell its number; the first rows have no label."""
    y = torch.full((rows, 1), float(number))
    y[: rows - labelled] = torch.nan
    return torch.full((rows, 2), float(number)), y


def held(buffer: ReplayBuffer) -> list[int]:
    """Numbers of all chunks in the buffer."""
    drawn = buffer.sample(10**6)
    return [] if drawn is None else sorted(int(x[0, 0]) for x in drawn[0])


@given(sizes=st.lists(st.integers(0, 9), max_size=60), capacity=st.integers(0, 60), recent=st.floats(0, 1))
def test_it_never_holds_more_than_its_capacity_and_always_the_latest(
    sizes: list[int], capacity: int, recent: float
) -> None:
    buffer = ReplayBuffer(capacity, recent)
    for number, labelled in enumerate(sizes):
        buffer.add(*numbered(number, 10, labelled))
        assert len(buffer) <= capacity
    assert len(buffer) == sum(sizes[number] for number in held(buffer))
    room, latest = int(capacity * recent), []
    for number in reversed(range(len(sizes))):
        room -= sizes[number]
        if room < 0:
            break
        if sizes[number]:
            latest.append(number)
    assert set(latest) <= set(held(buffer))


def test_the_reservoir_is_uniform_over_everything_ever_seen() -> None:
    chunks, runs = 60, 400
    counts = np.zeros(chunks)
    for seed in range(runs):
        buffer = ReplayBuffer(20, recent_fraction=0.25, seed=seed)
        for number in range(chunks):
            buffer.add(*numbered(number, 1, 1))
        counts[held(buffer)] += 1
    assert (counts[-5:] == runs).all()
    expected = runs * 15 / 55  # 15 places for the 55 chunks before the latest five
    deviation = (counts[:-5] - expected) / np.sqrt(expected * (1 - 15 / 55))
    assert np.abs(deviation).max() < 4.5
    assert (deviation**2).mean() < 1.6


def test_drawn_chunks_of_different_lengths_are_filled_up_without_labels() -> None:
    buffer = ReplayBuffer(100)
    buffer.add(*numbered(1, 3, 2))
    buffer.add(*numbered(2, 5, 5))
    drawn = buffer.sample(5)
    assert drawn is not None
    x, y = (part[np.argsort(drawn[0][:, 0, 0].numpy())] for part in drawn)
    assert x.shape == (2, 5, 2)
    assert (x[0, 3:] == 0).all()
    np.testing.assert_array_equal(torch.isnan(y[..., 0]).numpy(), [[True, False, False, True, True], [False] * 5])


def test_nothing_held_or_asked_for_gives_nothing() -> None:
    buffer = ReplayBuffer(10)
    assert buffer.sample(3) is None
    buffer.add(*numbered(0, 4, 0))
    assert buffer.sample(3) is None
    buffer.add(*numbered(0, 4, 4))
    assert buffer.sample(0) is None


def test_what_is_kept_is_a_copy() -> None:
    buffer = ReplayBuffer(10)
    x, y = numbered(1, 2, 2)
    buffer.add(x, y)
    x.zero_()
    assert held(buffer) == [1]


@given(sizes=st.lists(st.integers(0, 9), max_size=40), cut=st.integers(0, 40), recent=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_restored_buffer_holds_and_draws_the_same(sizes: list[int], cut: int, recent: float) -> None:
    straight, other = ReplayBuffer(30, recent, seed=3), ReplayBuffer(30, recent, seed=3)
    for number, labelled in enumerate(sizes):
        if number == cut:
            restored = ReplayBuffer(30, recent, seed=99)
            restored.restore(other.state())
            other = restored
        for buffer in (straight, other):
            buffer.add(*numbered(number, 10, labelled))
        one, two = straight.sample(3), other.sample(3)
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(one, two, strict=True))
    assert len(straight) == len(other)


def test_a_buffer_is_not_restored_into_a_smaller_one() -> None:
    buffer = ReplayBuffer(30)
    for number in range(10):
        buffer.add(*numbered(number, 5, 5))
    with pytest.raises(InputError, match="30 replayed rows do not fit"):
        ReplayBuffer(20).restore(buffer.state())


def test_forgetting_keeps_the_latest_only() -> None:
    buffer = ReplayBuffer(100, recent_fraction=0.5)
    for number in range(12):
        buffer.add(*numbered(number, 5, 5))
    buffer.forget(17)
    assert held(buffer) == [9, 10, 11]
    assert len(buffer) == 15
    buffer.add(*numbered(12, 5, 5))
    assert held(buffer) == [9, 10, 11, 12]
