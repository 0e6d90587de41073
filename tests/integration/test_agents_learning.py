"""Both algorithms on small environments: they learn, repeat themselves, survive bad gradients, resume exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agents_envs import Pendulum, make_aim, make_cartpole, make_gymnasium_pendulum, make_pendulum, make_recall
from gymnasium.vector import AutoresetMode, VectorEnv

from agents.algorithm import BatchedAlgorithm
from agents.config import AgentConfig, DDPGSettings, NetworkConfig, PPOSettings, PresetName, agent_preset
from agents.learner import SKIPPED_UPDATES
from agents.runtime import rllib_config, start_ray
from data_pipeline.errors import InputError

ENVS = {
    "cartpole": make_cartpole,
    "pendulum": make_pendulum,
    "gymnasium_pendulum": make_gymnasium_pendulum,
    "aim": make_aim,
    "recall": make_recall,
}
SMALL: dict[str, Any] = {"lanes": 8, "fragment": 25, "network": NetworkConfig(hidden=(16, 16)), "device": "cpu"}
WINDOW = NetworkConfig(hidden=(16, 16), encoder="window", encoder_width=8, window=4)
SMALLER = NetworkConfig(hidden=(32, 32))
PPO = PPOSettings(minibatch=64)
DDPG = DDPGSettings(batch=32, updates=8, replay_rows=2000, warmup_rows=400)
EVERYTHING = replace(  # that DDPG can: TD3's options, several steps, priorities, noise with memory
    DDPG,
    twin_critics=True,
    policy_delay=2,
    target_noise=0.2,
    n_step=3,
    priority_exponent=0.6,
    noise_kind="ou",
)


@contextmanager
def algorithm(config: AgentConfig, env: str, **env_config: Any) -> Iterator[BatchedAlgorithm]:
    start_ray()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    built = rllib_config(config, env, ENVS[env], env_config).build_algo()
    try:
        yield built
    finally:
        built.stop()
        torch.set_num_threads(threads)


def last_return(built: BatchedAlgorithm, iterations: int) -> float:
    """Mean return of the episodes that ended in the last iterations that saw one end."""
    returns: list[float] = []
    for _ in range(iterations):
        built.train()
        if built.last_episodes:
            returns.append(float(built.last_episodes["return"].mean()))
    return float(np.mean(returns[-3:]))


def weights(built: BatchedAlgorithm) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in built.learner_group.get_weights()["default_policy"].items()}


def equal(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_ppo_balances_the_pole() -> None:
    ppo = PPOSettings(minibatch=256, epochs=6, entropy=0.005)
    config = AgentConfig(iterations=45, lanes=32, fragment=32, gamma=0.99, ppo=ppo, device="cpu")
    with algorithm(config, "cartpole") as built:
        assert last_return(built, 45) > 140.0  # 200 at best, about 20 for random actions


@pytest.mark.parametrize(
    ("name", "actions", "bound"),
    [
        ("ppo", "discrete", 0.9 * 20),  # 1/3 a step for one fixed answer
        ("ppo", "multi_discrete", 0.85 * 20),  # (1/3 + 1/4) / 2 a step for one fixed answer
        ("ppo", "box", -0.12 * 20),  # -1/3 a step for always the middle, while sampling adds the policy's own variance
        ("ddpg", "box", -0.06 * 20),
    ],
)
def test_learns_to_say_what_it_sees(name: str, actions: str, bound: float) -> None:
    ppo = PPOSettings(minibatch=256, learning_rate=3e-3, epochs=6, entropy=0.0, entropy_final=0.0, log_std=-1.0)
    ddpg = DDPGSettings(batch=128, updates=32, replay_rows=20_000, warmup_rows=1000, noise=0.3, noise_decay=0.5)
    config = AgentConfig(
        name, iterations=40, lanes=32, fragment=32, network=SMALLER, gamma=0.5, ppo=ppo, ddpg=ddpg, device="cpu"
    )
    with algorithm(config, "aim", actions=actions) as built:
        assert last_return(built, 40) > bound


SEEDS = int(os.environ.get("SCALPING_PENDULUM_SEEDS", "0"))


@pytest.mark.parametrize(
    ("name", "seed"),
    [("ddpg", 0)] if SEEDS == 0 else [(name, seed) for name in ("ddpg", "td3") for seed in range(SEEDS)],
)
def test_swings_up_the_pendulum_of_gymnasium(name: PresetName, seed: int) -> None:
    """Greedy mean return over 32 episodes of Pendulum-v1: random actions reach about -1200, a good policy -150.

    SCALPING_PENDULUM_SEEDS=5 runs DDPG and TD3 on that many seeds each; `-s` shows the figures.
    """
    preset = agent_preset(name, iterations=75 if name == "ddpg" else 125, lanes=16, fragment=8, seed=seed, device="cpu")
    ddpg = replace(preset.ddpg, batch=128, updates=32, replay_rows=30_000, warmup_rows=1000, noise=0.3)
    if name == "ddpg":
        ddpg = replace(ddpg, actor_learning_rate=3e-3, critic_learning_rate=3e-3, learning_rate_final=3e-3)
    else:
        ddpg = replace(
            ddpg, batch=256, actor_learning_rate=2e-3, critic_learning_rate=2e-3, learning_rate_final=2e-3, tau=0.05
        )
    with algorithm(replace(preset, ddpg=ddpg), "gymnasium_pendulum") as built:
        for _ in range(preset.iterations):
            built.train()
        found = greedy_return(built.env_runner.module, make_gymnasium_pendulum({"num_envs": 32}), steps=200)
    print(f"\n{name} seed {seed}: {found:.0f}")
    assert found > -200.0


def greedy_return(module: Any, env: VectorEnv, steps: int) -> float:
    """Mean return of one episode of `steps` steps in each lane, without exploration."""
    observations, _ = env.reset(seed=1000)
    total = np.zeros(env.num_envs)
    for _ in range(steps):
        with torch.inference_mode():
            actions = module.forward_inference({"obs": torch.from_numpy(observations)})["actions"].numpy()
        observations, rewards, *_ = env.step(module.head.to_env(actions))
        total += rewards
    return float(total.mean())


@pytest.mark.parametrize(
    ("name", "settings"), [("ppo", {"ppo": PPO}), ("ddpg", {"ddpg": EVERYTHING, "network": WINDOW})]
)
def test_same_seed_same_weights_and_resume_is_exact(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    config = AgentConfig(name, iterations=6, **SMALL | settings)
    found = []
    for seed in (0, 0, 1):
        with algorithm(replace(config, seed=seed), "pendulum", episode=40) as built:
            for step in range(6):
                built.train()
                if step == 2 and not found:
                    built.save_to_path(str(tmp_path / "state"))
            found.append(weights(built))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])
    with algorithm(config, "pendulum", episode=40) as built:
        built.restore_from_path(str(tmp_path / "state"))
        assert built.iteration == 3
        for _ in range(3):
            built.train()
        assert equal(weights(built), found[0])


def test_a_delayed_policy_moves_when_it_is_due() -> None:
    """With moments of earlier steps an optimizer moves weights without a gradient too, so it must not be stepped."""
    delayed = replace(EVERYTHING, updates=1, policy_delay=3)
    with algorithm(AgentConfig("ddpg", iterations=9, ddpg=delayed, **SMALL), "pendulum") as built:
        moved = []
        for _ in range(9):
            before = weights(built)
            built.train()
            changed = {name.split(".")[0] for name, value in weights(built).items() if (value != before[name]).any()}
            moved.append(changed)
    learning = [changed for changed in moved if changed]
    assert len(learning) >= 7
    for step, changed in enumerate(learning, start=1):
        assert "critics" in changed
        assert ("pi" in changed) == ("target_critics" in changed) == (step % 3 == 0)


@pytest.mark.parametrize(("name", "settings"), [("ppo", {"ppo": PPO}), ("ddpg", {"ddpg": DDPG})])
def test_an_update_with_a_bad_gradient_is_undone_and_counted(name: str, settings: dict[str, Any]) -> None:
    with algorithm(AgentConfig(name, iterations=6, **settings, **SMALL), "pendulum") as built:
        for _ in range(3):
            built.train()
        learner = built.learner_group._learner
        before = weights(built)
        moments = [value.clone() for value in adam_moments(learner)]
        calls = []

        def spoil_third(gradient: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return gradient * float("nan") if len(calls) == 3 else gradient

        hook = next(iter(learner._net.pi.parameters())).register_hook(spoil_third)
        result = built.train()
        hook.remove()
        assert len(calls) > 3
        assert result["learners"]["default_policy"][SKIPPED_UPDATES] == 1
        assert equal(weights(built), before)
        assert all(torch.equal(one, two) for one, two in zip(adam_moments(learner), moments, strict=True))
        result = built.train()
        assert result["learners"]["default_policy"][SKIPPED_UPDATES] == 1
        assert not equal(weights(built), before)
        assert all(np.isfinite(value).all() for value in weights(built).values())


def adam_moments(learner: Any) -> list[torch.Tensor]:
    return [
        value
        for optimizer in learner._named_optimizers.values()
        for state in optimizer.state.values()
        for value in state.values()
    ]


def test_what_cannot_be_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = AgentConfig("ddpg", ddpg=DDPG, **SMALL)
    with pytest.raises(InputError, match="DDPG cannot act in"), algorithm(config, "aim", actions="discrete"):
        pass
    monkeypatch.setattr(Pendulum, "metadata", {"autoreset_mode": AutoresetMode.SAME_STEP})
    with pytest.raises(InputError, match="NEXT_STEP"), algorithm(AgentConfig(**SMALL), "pendulum"):
        pass


def test_episode_figures_of_the_environment_reach_the_result() -> None:
    with algorithm(AgentConfig(ppo=PPO, **SMALL), "pendulum", episode=20) as built:
        result = built.train()
        assert result["env_runners"]["episodes"]["twice_the_age"] == 40.0
        assert result["env_runners"]["episodes"]["length"] == 20.0
        assert built.last_rows["sample"] == 8 * 24  # one of 25 rows only reset
