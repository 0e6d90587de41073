"""Networks with memory: whole lanes give what single steps give, and nothing reaches over an episode's start."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config import NetworkConfig
from agents.networks import Perception
from agents.normaliser import Normaliser, moment_sums
from agents.sequences import whole_lanes

ACCOUNT, MARKET, WINDOW = 2, 3, 8
ENCODERS = ["gru", "lstm", "window"]


def perception(encoder: str, seed: int) -> Perception:
    """With weights of the size they have after training, and moments that have moved."""
    torch.manual_seed(seed)
    network = NetworkConfig(encoder=encoder, encoder_width=6, window=WINDOW, normalise=True)  # type: ignore[arg-type]
    made = Perception(MARKET + ACCOUNT, ACCOUNT, network)
    assert made.normaliser is not None
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        rows = np.random.default_rng(seed).normal(0.3, 2.0, (50, MARKET + ACCOUNT)).astype(np.float32)
        made.normaliser.take_in(moment_sums(rows, MARKET))
    return made


def step_by_step(
    net: Perception, rows: torch.Tensor, memory: torch.Tensor, starts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, T, F) and last memory (N, S) as a runner meets them."""
    features = []
    for t in range(rows.shape[1]):
        memory = memory * ~starts[:, t, None]
        step, memory = net.step(rows[:, t], memory)
        features.append(step)
    return torch.stack(features, 1), memory


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ENCODERS), st.integers(1, 4), st.integers(1, 25), st.integers(0, 2**31 - 1))
def test_a_sequence_is_its_steps(encoder: str, lanes: int, steps: int, seed: int) -> None:
    net = perception(encoder, seed)
    rows = torch.randn(lanes, 2 * steps, MARKET + ACCOUNT)
    starts = torch.rand(lanes, 2 * steps) < 0.15
    with torch.no_grad():
        first, memory = step_by_step(net, rows[:, :steps], torch.zeros(lanes, net.state_size), starts[:, :steps])
        second, _ = step_by_step(net, rows[:, steps:], memory, starts[:, steps:])
        whole = net.sequence(rows, torch.zeros(lanes, net.state_size), starts)
        later = net.sequence(rows[:, steps:], memory, starts[:, steps:])  # a fragment from its first memory
    torch.testing.assert_close(whole, torch.cat([first, second], 1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(later, second, atol=1e-6, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ENCODERS), st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_nothing_before_an_episode_is_seen_in_it(encoder: str, start: int, seed: int) -> None:
    net = perception(encoder, seed)
    rows, memory = torch.randn(2, 24, MARKET + ACCOUNT), torch.randn(2, net.state_size)
    rows[1, start:] = rows[0, start:]  # two lanes that share an episode and nothing before it
    starts = torch.zeros(2, 24, dtype=torch.bool)
    starts[:, start] = True
    with torch.no_grad():
        seen = net.sequence(rows, memory, starts)
        joined = net.sequence(rows, memory, torch.zeros_like(starts))
    torch.testing.assert_close(seen[0, start:], seen[1, start:], atol=1e-6, rtol=1e-5)
    assert (joined[0, start:] - joined[1, start:]).abs().max() > 1e-4  # without the start it would be


@pytest.mark.parametrize("reach", [WINDOW - 1, WINDOW])
def test_a_window_sees_its_rows_and_no_more(reach: int) -> None:
    net = perception("window", 0)
    rows = torch.randn(1, 30, MARKET + ACCOUNT)
    changed = rows.clone()
    changed[0, 29 - reach] += 1.0
    starts, memory = torch.zeros(1, 30, dtype=torch.bool), torch.zeros(1, net.state_size)
    with torch.no_grad():
        before, after = (net.sequence(each, memory, starts)[0, -1] for each in (rows, changed))
    assert torch.equal(before, after) == (reach == WINDOW)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_account_columns_join_after_the_encoder(encoder: str) -> None:
    net = perception(encoder, 1)
    rows = torch.randn(3, MARKET + ACCOUNT)
    other = rows.clone()
    other[:, MARKET:] += 1.0
    with torch.no_grad():
        (one, memory), (two, other_memory) = (net.step(each, torch.zeros(3, net.state_size)) for each in (rows, other))
    assert torch.equal(memory, other_memory)
    differs = (one != two).all(0)
    assert differs.tolist() == [False] * MARKET + [True] * ACCOUNT + [False] * 6
    torch.testing.assert_close(one[:, MARKET : MARKET + ACCOUNT], rows[:, MARKET:])  # as they came, unscaled


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 2**31 - 1))
def test_running_moments_are_those_of_all_rows(sizes: list[int], learners: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(rng.normal(0, 50, 2), rng.uniform(0.5, 3, 2), (size * learners, 2)) for size in sizes]
    parts = [part.astype(np.float32) for part in parts]
    normaliser = Normaliser(2)
    for part in parts:  # shared out among learners, whose sums are added up
        shares = [moment_sums(share, 2) for share in np.split(part, learners)]
        normaliser.take_in(torch.stack(shares).sum(0))
    rows = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(normaliser.mean.numpy(), rows.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(normaliser.variance.numpy(), rows.var(0), rtol=1e-3, atol=1e-3)
    assert float(normaliser.count) == len(rows)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_minibatches_of_lanes_hold_every_valid_row_once(lanes: int, steps: int, parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((lanes, steps)) < 0.7
    numbers = np.arange(lanes * (steps + 1)).reshape(lanes, steps + 1)  # of the observations
    taken = []
    for chosen, places, rows in whole_lanes(rng, valid, parts):
        np.testing.assert_array_equal(numbers[chosen].reshape(-1)[places], numbers[:, :-1].reshape(-1)[rows])
        taken.append(rows)
    np.testing.assert_array_equal(np.sort(np.concatenate(taken)), np.flatnonzero(valid))
