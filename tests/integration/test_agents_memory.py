"""PPO with memory, masks and running moments: solves what needs memory, keeps to masks, resumes exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_agents_learning import algorithm, equal, last_return, weights

from agents.config import AgentConfig, NetworkConfig, PPOSettings
from agents.ppo import BatchedPPOLearner
from data_pipeline.errors import InputError

PPO = PPOSettings(minibatch=256, learning_rate=1e-2, epochs=4, entropy=0.01)
SMALL: dict[str, Any] = {"lanes": 8, "fragment": 25, "device": "cpu", "ppo": PPOSettings(minibatch=64)}


def network(encoder: str, **settings: Any) -> NetworkConfig:
    return NetworkConfig((16, 16), encoder, encoder_width=16, window=8, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ["mlp", "gru", "lstm", "window"])
def test_only_encoders_with_memory_recall_the_cue(encoder: str) -> None:
    config = AgentConfig(
        iterations=40, lanes=32, fragment=32, gamma=0.9, network=network(encoder), ppo=PPO, device="cpu"
    )
    with algorithm(config, "recall") as built:
        told = last_return(built, 40)
    assert told < 0.5 if encoder == "mlp" else told > 0.9, told  # 1/3 by chance


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_a_masked_action_is_never_taken_and_never_learned_from(encoder: str) -> None:
    config = AgentConfig(iterations=3, network=network(encoder, mask_actions=True), **SMALL)
    with algorithm(config, "recall") as built:
        for _ in range(3):
            built.train()
        rollout = built.env_runner.sample()
        assert built.env_runner.env.forbidden == 0
        assert (~rollout.masks).sum() == rollout.masks.shape[0] * rollout.masks.shape[1]  # one of three each time
        assert np.isfinite(rollout.logp).all()
        learner = built.learner_group._learner
        before = learner_logp(learner, rollout.columns())
        np.testing.assert_allclose(before, rollout.logp[rollout.valid], atol=1e-5)
    with algorithm(AgentConfig(iterations=3, network=network(encoder), **SMALL), "recall") as built:
        built.train()
        assert built.env_runner.env.forbidden > 0  # it is the masks that did it


def learner_logp(learner: BatchedPPOLearner, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Log-probabilities of the rollout's valid rows as the loss sees them, in the order of the rollout."""
    found = np.full(columns["logp"].shape, np.nan, np.float32)
    stored = torch.from_numpy(columns["logp"]).reshape(-1)
    with torch.no_grad():
        for minibatch in learner.minibatches(columns):
            inputs = learner._net.forward_train(minibatch)["action_dist_inputs"]
            logp = learner._net.head.logp(inputs, minibatch["actions"])
            places = [int((stored == value).nonzero()[0, 0]) for value in minibatch["action_logp"]]
            found.reshape(-1)[places] = logp.numpy()
    return found[columns["valid"]]


@pytest.mark.parametrize(
    "shape",
    [
        network("lstm", normalise=True, mask_actions=True),
        network("window", normalise=True, shared_trunk=True),
    ],
)
def test_resume_with_memory_is_exact(shape: NetworkConfig, tmp_path: Path) -> None:
    config = AgentConfig(iterations=6, network=shape, **SMALL)
    ends = []
    for _ in range(2):
        with algorithm(config, "recall", episode=9) as built:
            for step in range(6):
                built.train()
                if step == 2:
                    built.save_to_path(str(tmp_path / f"state-{len(ends)}"))
            ends.append(weights(built))
            memory = built.env_runner._lanes.memory
            assert np.abs(memory).sum() > 0.0
    assert equal(*ends)
    with algorithm(config, "recall", episode=9) as built:
        built.restore_from_path(str(tmp_path / "state-0"))
        for _ in range(3):
            built.train()
        assert equal(weights(built), ends[0])
        np.testing.assert_array_equal(built.env_runner._lanes.memory, memory)


def test_moments_move_after_the_update_and_reach_the_runner() -> None:
    config = AgentConfig(network=network("mlp", normalise=True), **SMALL)
    with algorithm(config, "recall") as built:
        built.train()
        rows = built.last_rows["sample"]
        rollout = built.env_runner.sample()
        seen = {name: value for name, value in weights(built).items() if "normaliser" in name}
        for name, value in seen.items():
            own = built.env_runner.module.state_dict()[name]
            np.testing.assert_array_equal(own.numpy(), value)
        assert seen["perception.normaliser.count"] == 8 * 26  # all observations of the first fragment
        assert rows < 8 * 26
        assert 0.2 < seen["perception.normaliser.variance"][1] < 0.5  # of uniform noise: 1/3
        learner = built.learner_group._learner
        np.testing.assert_allclose(learner_logp(learner, rollout.columns()), rollout.logp[rollout.valid], atol=1e-5)


def test_masks_that_cannot_be_had_are_refused() -> None:
    masked = network("mlp", mask_actions=True)
    with (
        pytest.raises(InputError, match="has no action_masks"),
        algorithm(AgentConfig(network=masked, **SMALL), "aim", actions="discrete") as built,
    ):
        built.train()
    with (
        pytest.raises(InputError, match="continuous actions have no mask"),
        algorithm(AgentConfig(network=masked, **SMALL), "pendulum"),
    ):
        pass
