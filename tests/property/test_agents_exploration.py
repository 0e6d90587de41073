"""Exploration noise with memory: its law, and that fragments join into one path."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.exploration import ornstein_uhlenbeck, scale_after, to_uniform


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(0.01, 3.0), st.integers(0, 2**32 - 1))
def test_fragments_join_into_the_path_of_the_recursion(lengths: list[int], reversion: float, seed: int) -> None:
    rng, state = np.random.default_rng(seed), np.zeros((4, 2), np.float32)
    pieces = []
    for length in lengths:
        noise, state = ornstein_uhlenbeck(rng, (length, 4, 2), reversion, state)
        pieces.append(noise)
    fresh = np.random.default_rng(seed).standard_normal((sum(lengths), 4, 2), dtype=np.float32).astype(np.float64)
    x = np.zeros((4, 2))
    for step, found in zip(fresh, np.concatenate(pieces), strict=True):
        x = math.exp(-reversion) * x + math.sqrt(1.0 - math.exp(-2.0 * reversion)) * step
        np.testing.assert_allclose(found, x, atol=1e-5)
    np.testing.assert_allclose(state, x, atol=1e-5)


@pytest.mark.parametrize("reversion", [0.05, 0.15, 5.0])
def test_noise_has_unit_variance_and_forgets_at_its_rate(reversion: float) -> None:
    noise, _ = ornstein_uhlenbeck(np.random.default_rng(0), (3000, 200, 1), reversion, np.zeros((200, 1), np.float32))
    settled = noise[500:]
    assert settled.std() == pytest.approx(1.0, abs=0.02)
    assert np.mean(settled[:-1] * settled[1:]) == pytest.approx(math.exp(-reversion), abs=0.02)
    uniform = to_uniform(settled)
    assert uniform.dtype == np.float32
    np.testing.assert_allclose(np.quantile(uniform, [0.1, 0.5, 0.9]), [-0.8, 0.0, 0.8], atol=0.03)


def test_scale_falls_linearly_and_stays() -> None:
    assert [scale_after(rows, 100, 0.5, 0.1) for rows in (0, 50, 100, 1000)] == pytest.approx([0.5, 0.3, 0.1, 0.1])
