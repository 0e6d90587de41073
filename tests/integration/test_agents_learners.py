"""Two learners: the same weights after every update, the same as one learner's where the arithmetic is the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ray
import torch
from test_agents_learning import DDPG, PPO, SMALL, algorithm, equal

from agents import devices, peers
from agents.algorithm import BatchedAlgorithm
from agents.config import AgentConfig, ScaleSettings
from agents.learner import SKIPPED_UPDATES, GuardedLearner
from agents.peers import learner_backend, peers_of
from data_pipeline.errors import InputError

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # learners cannot import a test


def each_learner(built: BatchedAlgorithm, ask: Callable[[GuardedLearner], Any]) -> list[Any]:
    return [each.get() for each in built.learner_group.foreach_learner(ask)]


def weights(learner: GuardedLearner) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy().copy() for name, value in learner._net.state_dict().items()}


def backends(_: GuardedLearner) -> str:
    return torch.distributed.get_backend_config()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "ddpg"])
def test_two_learners_stay_alike_and_undo_a_bad_update_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # One step an iteration, so that both halves of its batch are those of one learner; nothing random but the replay.
    ddpg = replace(DDPG, updates=1)
    ends = {}
    for learners in (2, 0):
        scale = ScaleSettings(learners=learners)
        config = AgentConfig(name, iterations=6, ppo=PPO, ddpg=ddpg, scale=scale, **SMALL)  # type: ignore[arg-type]
        with algorithm(config, "pendulum", episode=40) as built:
            first = each_learner(built, weights)[0]
            for _ in range(4):
                built.train()
            ends[learners], *others = each_learner(built, weights)
            assert not equal(ends[learners], first)
            if learners:
                assert all(equal(ends[learners], other) for other in others)
                assert len(others) == 1
                assert all("cpu:gloo" in each for each in each_learner(built, backends))
                a_bad_share_is_undone_by_both(built, monkeypatch)
    if name == "ddpg":
        for key, value in ends[0].items():
            np.testing.assert_allclose(ends[2][key], value, atol=1e-5, err_msg=key)


def a_bad_share_is_undone_by_both(built: BatchedAlgorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = BatchedAlgorithm.learn

    def learn_spoilt(self: BatchedAlgorithm, columns: dict[str, np.ndarray], rows: int) -> None:
        columns["rewards"][-1] = np.nan  # in the second learner's share
        learn(self, columns, rows)

    before = each_learner(built, weights)[0]
    with monkeypatch.context() as patch:
        patch.setattr(BatchedAlgorithm, "learn", learn_spoilt)
        result = built.train()
    assert result["learners"]["default_policy"][SKIPPED_UPDATES] == 1
    assert [equal(before, after) for after in each_learner(built, weights)] == [True, True]
    built.train()
    one, two = each_learner(built, weights)
    assert equal(one, two)
    assert not equal(one, before)
    assert all(np.isfinite(value).all() for value in one.values())


def test_how_learners_on_devices_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """XPUs by xccl, which RLlib does not know; a group connected otherwise is noticed."""
    asked = peers.learner_group._get_backend_config
    for device, backend in (("cpu", "gloo"), ("cuda", "cpu:gloo,cuda:nccl"), ("xpu", "cpu:gloo,xpu:xccl")):
        with learner_backend(device):
            assert peers.learner_group._get_backend_config(GuardedLearner).backend == backend
    assert peers.learner_group._get_backend_config is asked
    group = torch.distributed
    monkeypatch.setattr(group, "is_initialized", lambda: True)
    monkeypatch.setattr(group, "get_world_size", lambda: 3)
    monkeypatch.setattr(group, "get_rank", lambda: 2)
    monkeypatch.setattr(group, "get_backend_config", lambda: "cpu:gloo,cuda:gloo")
    with pytest.raises(RuntimeError, match="learners on xpu need xpu:xccl, RLlib connected them by cpu:gloo,cuda:gloo"):
        peers_of(torch.device("xpu", 0))
    assert peers_of(torch.device("cpu")).rank == 2


def test_each_learner_of_a_machine_takes_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three learners, the first and the last on one machine with two devices."""

    def gather(hosts: list[str], own: str) -> None:
        hosts[:] = ["a", "b", "a"]

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    assert [peers.local_rank(rank, host) for rank, host in enumerate("aba")] == [0, 0, 1]
    monkeypatch.setattr(devices, "resolve_device", lambda name: torch.device("xpu", 0))
    monkeypatch.setattr(devices, "device_count", lambda kind: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(devices.ray, "get_runtime_context", lambda: type("", (), {"get_node_id": lambda self: "a"})())
    assert devices._own_device("xpu", 3) == torch.device("xpu", 1)
    assert devices.reserved("xpu", 3) == {"XPU": 1}
    assert devices.reserved("cuda", 3) == {"GPU": 1}
    assert devices.reserved("cpu", 3) == devices.reserved("xpu", 0) == {}
    assert devices.learner_place("xpu", 2) == "xpu"  # it need not be here
    with pytest.raises(InputError, match="device 'xpu:1' for 2 learners; leave out the index"):
        devices.learner_place("xpu:1", 2)


@pytest.mark.parametrize(
    "changes", [{"lanes": 7}, {"ppo": replace(PPO, minibatch=65)}, {"ddpg": replace(DDPG, batch=33)}]
)
def test_shares_that_cannot_be_equal_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="for 2 learners; choose a multiple"):
        AgentConfig(**SMALL | {"ppo": PPO, "ddpg": DDPG} | changes, scale=ScaleSettings(learners=2))


@pytest.mark.parametrize("name", ["ppo", "ddpg"])
def test_sixteen_bits_tell_nearly_the_same_losses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights stay float32; Intel's extension is asked for before the module is made."""
    asked: list[torch.device] = []
    monkeypatch.setattr("agents.learner.load_ipex", asked.append)
    told, kinds = [], []
    for precision in ("float32", "bfloat16"):
        scale = ScaleSettings(precision=precision)  # type: ignore[arg-type]
        config = AgentConfig(name, iterations=3, ppo=PPO, ddpg=DDPG, scale=scale, **SMALL)  # type: ignore[arg-type]
        with algorithm(config, "pendulum", episode=40) as built:
            net = built.learner_group._learner._net
            layer = next(part for part in net.pi.modules() if isinstance(part, torch.nn.Linear))
            seen: set[torch.dtype] = set()
            layer.register_forward_hook(lambda _layer, _inputs, output, seen=seen: seen.add(output.dtype))
            told.append([built.train() for _ in range(3)][-1]["learners"]["default_policy"])
            kinds.append(seen)
            assert {value.dtype for value in net.state_dict().values()} == {torch.float32}
    assert kinds[1] == {torch.bfloat16}
    assert torch.bfloat16 not in kinds[0]
    for figure in ("vf_loss", "entropy") if name == "ppo" else ("critic_loss", "policy_value", "q_mean"):
        assert told[1][figure] == pytest.approx(told[0][figure], rel=0.02), figure
        assert told[1][figure] != told[0][figure], figure
    assert asked == [torch.device("cpu")] * 2
