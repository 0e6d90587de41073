"""One policy, four ways to ask it: the trained module, a checkpoint, an ONNX file, and both in the backtest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from agents.config import NetworkConfig
from agents.ddpg_module import DDPGModule
from agents.export import TOLERANCE, check_parity, compare, export_policy_onnx
from agents.modules import PPOModule
from agents.normaliser import moment_sums
from agents.policy import OnnxPolicy, TorchPolicy, load_policy
from agents.policy_network import PolicyNetwork
from agents.policy_spec import PolicySpec, space_fields
from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from envs.actions import action_space
from envs.config import MarketConfig, RiskLimits
from envs.observation import ACCOUNT_COLUMNS, observation_columns
from envs.policy import Seat
from envs.vector_env import ScalpingVectorEnv
from tests.market_tools import PERPETUAL, SPOT, build_market, random_bars

MARKET = 5
COLUMNS = (*(f"column_{number}" for number in range(MARKET)), *ACCOUNT_COLUMNS)
SIDE = COLUMNS.index("account_side")
PLAIN: dict[str, Any] = {"hidden": [12, 8]}
FULL = {**PLAIN, "normalise": True, "shared_trunk": True}
KINDS = [
    *(("ppo", mode, PLAIN) for mode in ("discrete", "multi_discrete", "continuous")),
    ("ddpg", "continuous", {**PLAIN, "normalise": True, "encoder": "window", "window": 4}),
    ("ppo", "discrete", {**FULL, "encoder": "gru", "mask_actions": True}),
    ("ppo", "multi_discrete", {**PLAIN, "encoder": "gru"}),
    ("ppo", "continuous", {**FULL, "encoder": "lstm"}),
    ("ppo", "multi_discrete", {**FULL, "encoder": "window", "window": 8, "mask_actions": True}),
]
SETTINGS = {
    "side_column": SIDE,
    "account_columns": len(ACCOUNT_COLUMNS),
    "flat_bias": 0.3,
    "hold_bias": 0.4,
    "hold_mean": 0.5,
    "log_std": -0.5,
    "twin_critics": True,
}


def module_and_policy(
    algorithm: str, mode: str, network: dict[str, Any] = PLAIN, *, shortable: bool = True
) -> tuple[torch.nn.Module, TorchPolicy]:
    """A module with weights far from the quiet ones it starts with, and the policy made of its weights."""
    torch.manual_seed(0)
    market = MarketConfig(action_mode=mode)
    space = action_space(market)
    kind = PPOModule if algorithm == "ppo" else DDPGModule
    observations = gym.spaces.Box(-np.inf, np.inf, (len(COLUMNS),), np.float32)
    module = kind(observation_space=observations, action_space=space, model_config={**SETTINGS, "network": network})
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, min(0.4, parameter.shape[-1] ** -0.5))
        if module.perception.normaliser is not None:
            moved = np.random.default_rng(3).normal(0.5, 2.0, (200, len(COLUMNS)))
            module.perception.normaliser.take_in(moment_sums(moved.astype(np.float32), MARKET))
    spec = PolicySpec(
        algorithm,
        NetworkConfig(**network),
        **space_fields(space),
        observation_columns=COLUMNS,
        market=asdict(market),
        iteration=7,
        shortable=shortable,
    )
    return module, TorchPolicy(spec, {name: value.numpy() for name, value in module.state_dict().items()})


def some_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Observations with sides and breakers as an account has them."""
    rows = rng.standard_normal((count, len(COLUMNS)), dtype=np.float32) * 2.0
    rows[:, SIDE] = rng.integers(-1, 2, count)
    rows[:, COLUMNS.index("account_restricted")] = rng.choice([0.0, 0.5, 1.0], count)
    return rows


@pytest.mark.parametrize(("algorithm", "mode", "network"), KINDS)
def test_checkpoint_and_onnx_act_like_the_module(
    algorithm: str, mode: str, network: dict[str, Any], tmp_path: Path
) -> None:
    module, policy = module_and_policy(algorithm, mode, network)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    policy.save(checkpoint)
    path = export_policy_onnx(checkpoint, tmp_path / "policy.onnx")
    loaded, onnx = load_policy(checkpoint), load_policy(path)
    assert loaded.spec == onnx.spec == policy.spec
    rng = np.random.default_rng(1)
    space = policy.spec.action_space
    for count in (1, 5, 300):
        seats = Seat(loaded, count), Seat(onnx, count)
        memory = torch.zeros(count, policy.state_size)
        for _ in range(12 if policy.state_size else 1):
            rows = some_rows(rng, count)
            batch = {Columns.OBS: torch.from_numpy(rows), "memory": memory}
            if network.get("mask_actions"):
                batch["masks"] = torch.from_numpy(allowed(rows, policy.spec.choices))
            with torch.no_grad():
                outputs = module._forward(batch)
                memory = module.perception.step(batch[Columns.OBS], memory)[1]
            if algorithm == "ppo":
                wanted = module.head.to_env(module.head.greedy(outputs[Columns.ACTION_DIST_INPUTS]).numpy())
            else:
                wanted = module.head.to_env(outputs[Columns.ACTIONS].numpy())
            for seat in seats:
                found = seat.act(rows)
                assert found.dtype == wanted.dtype
                assert all(space.contains(row) for row in found)
                if found.dtype == np.float32:
                    np.testing.assert_allclose(found, wanted, atol=1e-5)
                else:
                    np.testing.assert_array_equal(found, wanted)
    assert len(np.unique(wanted, axis=0)) > 1  # not a constant that anything would equal


def allowed(rows: np.ndarray, choices: tuple[int, ...]) -> np.ndarray:
    """Masks that go with the observations, one row at a time."""
    masks = np.ones((len(rows), sum(choices)), np.bool_)
    for mask, side, restricted in zip(masks, rows[:, SIDE], rows[:, -1], strict=True):
        mask[1] = restricted == 0.0 or (restricted == 0.5 and side > 0)
        mask[2] = restricted == 0.0 or (restricted == 0.5 and side < 0)
    return masks


def test_a_masked_policy_never_chooses_what_its_observation_rules_out() -> None:
    rows = some_rows(np.random.default_rng(2), 500)
    for shortable in (True, False):
        _, policy = module_and_policy("ppo", "discrete", {**PLAIN, "mask_actions": True}, shortable=shortable)
        masks = allowed(rows, (3,))
        masks[:, 2] &= shortable
        chosen = policy.act(rows)
        assert masks[np.arange(500), chosen].all()
        assert set(chosen) == ({0, 1, 2} if shortable else {0, 1})
    _, free = module_and_policy("ppo", "discrete")
    assert not masks[np.arange(500), free.act(rows)].all()


@pytest.mark.parametrize("instrument", [SPOT, PERPETUAL])
def test_a_policy_rules_out_what_the_environment_masks(instrument: Instrument) -> None:
    """But for the two things that no observation tells: breakers of the bar to come, and bars that cannot be traded."""
    rng = np.random.default_rng(7)
    market = build_market(random_bars(rng, 400), instrument=instrument)
    config = MarketConfig(risk=RiskLimits(losing_streak=2, cool_down_bars=4), episode_bars=150, default_sl_bps=5.0)
    env = ScalpingVectorEnv(16, market, config)
    spec = PolicySpec(
        "ppo",
        NetworkConfig(mask_actions=True),
        **space_fields(env.single_action_space),
        observation_columns=observation_columns(market),
        market={},
        iteration=0,
        shortable=instrument.shortable,
    )
    ruling = PolicyNetwork(spec).masks
    assert ruling is not None
    rows, _ = env.reset(seed=0)
    told, differing = 0, 0
    for _ in range(300):
        masks, wanted = ruling(torch.from_numpy(rows)).numpy(), env.action_masks()
        before = rows[:, -1]
        rows, _, terminated, truncated, _ = env.step(rng.integers(0, 3, 16))
        # A breaker may lift and trip again within one bar, so only where none was on is nothing left to differ.
        alike = (rows[:, -1] == before) & (before == 0.0) & ~(terminated | truncated)
        shown = (masks == wanted).all(1)
        flat_only = ~wanted[:, 1:].any(1)  # nothing else does anything: whatever is chosen means flat
        assert (shown | flat_only)[alike].all()
        told += int((~masks[before > 0.0]).sum())
        differing += int((~(shown | flat_only)).sum())
    assert told > 100
    assert differing < 0.15 * 16 * 300  # with a breaker that trips and lifts every few bars


def test_memory_belongs_to_the_lane_and_ends_with_it() -> None:
    _, policy = module_and_policy("ppo", "continuous", {**PLAIN, "encoder": "gru"})
    rng = np.random.default_rng(4)
    first, second, third = (some_rows(rng, 3) for _ in range(3))
    seat = Seat(policy, 3)
    seat.act(first)
    seat.act(second)
    seat.begin()
    anew = seat.act(third)
    fresh, alone = Seat(policy, 3), Seat(policy, 1)
    np.testing.assert_array_equal(fresh.act(third), anew)
    fresh.act(first)
    alone.act(third[1:2])
    alone.act(first[1:2])
    np.testing.assert_allclose(alone.memory, fresh.memory[1:2], atol=1e-6)
    assert np.abs(seat.act(first) - Seat(policy, 3).act(first)).max() > 1e-3  # it does remember
    with pytest.raises(InputError, match="the policy has a memory"):
        policy.act(first)
    with pytest.raises(InputError, match="memory has shape"):
        policy.respond(first, np.zeros((2, policy.state_size), np.float32))


def test_export_refuses_a_file_that_disagrees(tmp_path: Path) -> None:
    _, policy = module_and_policy("ppo", "discrete")
    (tmp_path / "checkpoint").mkdir()
    policy.save(tmp_path / "checkpoint")
    path = export_policy_onnx(tmp_path / "checkpoint", tmp_path / "policy.onnx")
    with torch.no_grad():
        next(policy.network.parameters()).mul_(1.01)
    with pytest.raises(ArithmeticError, match="outputs differ from torch by"):
        check_parity(policy, path)


@pytest.mark.parametrize(("size", "error", "agrees"), [(500.0, 1e-3, True), (500.0, 1e-2, False), (0.5, 3e-5, False)])
def test_outputs_are_compared_relative_to_their_size(size: float, error: float, agrees: bool) -> None:
    wanted = np.array([[0.1, size]], np.float32)
    found = wanted + np.array([[0.0, error]], np.float32)
    if agrees:  # a confident policy's logits: float32 itself is coarser than 1e-5 there
        compare("outputs", wanted, found, TOLERANCE)
    else:
        with pytest.raises(ArithmeticError, match="outputs differ"):
            compare("outputs", wanted, found, TOLERANCE)


def test_an_onnx_policy_needs_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    _, policy = module_and_policy("ppo", "discrete")
    (tmp_path / "checkpoint").mkdir()
    policy.save(tmp_path / "checkpoint")
    path = export_policy_onnx(tmp_path / "checkpoint", tmp_path / "policy.onnx")
    code = (
        "import sys, numpy as np; from agents.policy import load_policy;"
        f"shape = load_policy({str(path)!r}).act(np.zeros((2, 16), np.float32)).shape;"
        "print(shape, 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2,) False False"


def test_bad_files_and_observations_are_refused(tmp_path: Path) -> None:
    _, policy = module_and_policy("ppo", "discrete")
    with pytest.raises(InputError, match=r"shape \(3, 5\), the policy takes \(N, 16\)"):
        policy.act(np.zeros((3, 5), np.float32))
    with pytest.raises(InputError, match="no such file"):
        load_policy(tmp_path / "missing.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match="not a policy"):
        OnnxPolicy(tmp_path / "bad.onnx")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    policy.save(folder)
    weights = folder / "policy.npz"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be used"):
        load_policy(folder)
    spec = json.loads((folder / "policy.json").read_text())
    del spec["network"]
    (folder / "policy.json").write_text(json.dumps(spec))
    with pytest.raises(InputError, match="field 'network' is missing"):
        load_policy(folder)


@pytest.mark.parametrize("encoder", ["mlp", "gru", "lstm", "window"])
@pytest.mark.parametrize("mode", ["discrete", "multi_discrete", "continuous"])
def test_an_untrained_policy_stays_flat_and_keeps_what_it_holds(mode: str, encoder: str) -> None:
    torch.manual_seed(0)
    space = action_space(MarketConfig(action_mode=mode))
    observations = gym.spaces.Box(-np.inf, np.inf, (len(COLUMNS),), np.float32)
    settings = {**SETTINGS, "flat_bias": 2.0, "hold_bias": 4.0, "hold_mean": 0.8}
    settings["network"] = {**FULL, "encoder": encoder}
    module = PPOModule(observation_space=observations, action_space=space, model_config=settings)
    rows, memory = torch.randn(50, len(COLUMNS)), torch.zeros(50, module.state_size)
    for side in (0.0, 1.0, -1.0):
        rows[:, SIDE] = side
        batch = {Columns.OBS: rows, "memory": memory}
        first = module.head.greedy(module._forward(batch)[Columns.ACTION_DIST_INPUTS])[:, 0].detach()
        if mode == "continuous":
            assert torch.all((first - 0.8 * side).abs() < MarketConfig().dead_zone)
        else:
            assert torch.all(first == {0.0: 0, 1.0: 1, -1.0: 2}[side])
