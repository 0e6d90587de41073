"""Action heads against torch's distributions, and their samples against the probabilities they claim."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from agents.heads import CategoricalHead, GaussianHead, action_head
from data_pipeline.errors import InputError


def test_categorical_logp_and_entropy_are_those_of_independent_categoricals() -> None:
    generator = torch.Generator().manual_seed(0)
    head = CategoricalHead((3, 5, 2))
    inputs = torch.randn(64, 10, generator=generator) * 2.0
    parts = [Categorical(logits=part) for part in inputs.split(head.sizes, -1)]
    actions = torch.stack([part.sample() for part in parts], -1)
    logp, entropy = head.logp_entropy(inputs, actions)
    torch.testing.assert_close(logp, sum(part.log_prob(actions[:, k]) for k, part in enumerate(parts)))
    torch.testing.assert_close(entropy, sum(part.entropy() for part in parts))
    assert torch.equal(head.greedy(inputs)[:, 1], parts[1].probs.argmax(-1))


def test_gaussian_logp_and_entropy_are_those_of_a_diagonal_normal() -> None:
    generator = torch.Generator().manual_seed(1)
    head = GaussianHead((-1.0, 0.0, 5.0), (1.0, 2.0, 9.0))
    inputs = torch.randn(64, 6, generator=generator)
    mean, log_std = inputs.chunk(2, -1)
    normal = Independent(Normal(mean, log_std.exp()), 1)
    actions = normal.sample()
    logp, entropy = head.logp_entropy(inputs, actions)
    torch.testing.assert_close(logp, normal.log_prob(actions))
    torch.testing.assert_close(entropy, normal.entropy())


def test_categorical_samples_follow_the_softmax() -> None:
    head = CategoricalHead((4,), scalar=True)
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5]])
    count = 40_000
    noise = torch.from_numpy(head.noise(np.random.default_rng(0), (count,)))
    drawn = head.sample(logits.expand(count, -1), noise)[:, 0]
    found = torch.bincount(drawn, minlength=4) / count
    # Five standard errors of the largest share: a right sampler fails once in a million seeds.
    torch.testing.assert_close(found, torch.softmax(logits[0], -1), atol=5 * (0.25 / count) ** 0.5, rtol=0.0)


def test_gaussian_samples_have_the_stated_moments() -> None:
    head = GaussianHead((-1.0,), (1.0,))
    count = 40_000
    noise = torch.from_numpy(head.noise(np.random.default_rng(0), (count,)))
    drawn = head.sample(torch.tensor([[0.3, -1.0]]).expand(count, -1), noise)
    assert abs(float(drawn.mean()) - 0.3) < 5 * np.exp(-1.0) / count**0.5
    assert abs(float(drawn.std()) - np.exp(-1.0)) < 5 * np.exp(-1.0) / (2 * count) ** 0.5


def test_actions_reach_the_environment_in_its_own_space() -> None:
    box = gym.spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
    scaled = action_head(box).to_env(np.array([[-1.0, 0.0], [3.0, -5.0]], np.float32))
    np.testing.assert_allclose(scaled, [[-2.0, 5.0], [2.0, 0.0]])
    assert scaled.dtype == np.float32
    assert action_head(gym.spaces.Discrete(3)).to_env(np.array([[2], [0]])).tolist() == [2, 0]
    assert action_head(gym.spaces.MultiDiscrete([3, 4])).to_env(np.array([[2, 3]])).tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-np.inf, np.inf, (2,)),
        gym.spaces.Box(0, 1, (2, 2)),
        gym.spaces.Dict(),
        gym.spaces.Discrete(3, start=1),
    ],
)
def test_spaces_without_a_head_are_refused(space: gym.Space) -> None:
    with pytest.raises(InputError, match="not supported"):
        action_head(space)
