"""What a run on several processes and machines needs besides them: settings, room, fragments, markets on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from agents import runtime
from agents.config import AgentConfig, ScaleSettings
from agents.fragments import equal_shares, side_by_side
from agents.market_store import open_markets, ship_markets
from agents.replay import ReplayRing
from agents.runner import Rollout
from data_pipeline.errors import InputError
from envs.demo import demo_market
from supervised.precision import MixedPrecision


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"learners": -1}, "scale.learners=-1; choose 0 or more"),
        ({"precision": "float16"}, "scale.precision='float16'; use auto, float32, bfloat16"),
        ({"address": "head"}, "scale.address='head'; use auto or host:port"),
        ({"address": ":6379"}, "scale.address=':6379'; use auto or host:port"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        ScaleSettings(**changes)


def test_actors_without_room_are_refused_before_they_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(runtime, "start_ray", lambda cpus, **options: asked.append(options))
    monkeypatch.setattr(runtime, "device_count", lambda kind: 2)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 5.0, "XPU": 1.0})
    scale = ScaleSettings(learners=2, address="auto")
    runtime.connect(AgentConfig(num_env_runners=3, lanes=32, device="cpu", scale=scale))
    with pytest.raises(InputError, match="Ray: 6 CPU asked for, 5 found; use fewer"):
        runtime.connect(AgentConfig(num_env_runners=4, lanes=32, device="cpu", scale=scale))
    with pytest.raises(InputError, match="Ray: 2 XPU asked for, 1 found; use fewer"):
        runtime.connect(AgentConfig(device="xpu", scale=scale))
    assert [each["resources"] for each in asked] == [{}, {}, {"XPU": 2.0}]  # those of a Ray that starts here
    assert {each["address"] for each in asked} == {"auto"}


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        InputError, match=r"address 'auto': no Ray cluster to join \(Could not find .*\); run `ray start`"
    ):
        runtime.start_ray(address="auto")


def rollout(first: float, lanes: int = 2, steps: int = 3) -> Rollout:
    """A fragment whose observations are `first`, `first` + 1, ... in every lane, plus a hundred a lane."""
    shape = (lanes, steps)
    observations = first + np.arange(steps + 1, dtype=np.float32) + 100.0 * np.arange(lanes, dtype=np.float32)[:, None]
    return Rollout(
        observations=observations[:, :, None].astype(np.float32),
        actions=np.ones((*shape, 1), np.float32),
        logp=np.zeros(shape, np.float32),
        rewards=np.ones(shape, np.float32),
        terminated=np.zeros(shape, np.bool_),
        truncated=np.zeros(shape, np.bool_),
        valid=np.ones(shape, np.bool_),
        starts=np.zeros((lanes, steps + 1), np.bool_),
        memory=np.zeros((lanes, 0), np.float32),
        masks=np.zeros((*shape, 0), np.bool_),
        episodes={"return": np.full(1, first)},
    )


def test_lanes_of_a_lost_runner_keep_their_places_and_are_never_learned_from() -> None:
    ring = ReplayRing(steps=20, lanes=4, observation_size=1, action_size=1, seed=0, gamma=0.9, n_step=2)
    ring.add(side_by_side({1: rollout(0.0), 2: rollout(1000.0)}, 2))
    missing = side_by_side({2: rollout(1003.0)}, 2)
    assert missing.valid.sum(1).tolist() == [0, 0, 3, 3]
    assert missing.episodes["return"].tolist() == [1003.0]
    ring.add(missing)
    ring.add(side_by_side({1: rollout(50.0), 2: rollout(1006.0)}, 2))  # the first begins anew
    drawn = ring.sample(1, 4000)
    seen = {(float(a), float(b)) for a, b in zip(drawn["obs"][:, 0], drawn["new_obs"][:, 0], strict=True)}
    lane = {(a, b) for a, b in seen if a < 100.0}
    # Two steps ahead, or one where a lane's stretch ends; row 2 is lost with what came after it.
    assert lane == {(0.0, 2.0), (1.0, 2.0), (50.0, 52.0), (51.0, 53.0), (52.0, 53.0)}
    assert {a for a, _ in seen if 1000.0 <= a < 1100.0} == set(np.arange(1000.0, 1009.0))
    assert (drawn["rewards"] > 0.0).all()


def test_learners_get_equal_shares_of_the_lanes_that_are_left() -> None:
    found = {1: rollout(0.0, lanes=3), 3: rollout(9.0, lanes=2)}
    assert equal_shares(found, 1).observations.shape == (5, 4, 1)
    shared = equal_shares(found, 2)
    assert {len(values) for values in shared.columns().values()} == {4}
    assert shared.observations[:, 0, 0].tolist() == [0.0, 100.0, 200.0, 9.0]


def test_markets_go_by_folder_or_once_through_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = demo_market()
    saved = market.save(tmp_path / "saved")
    shipped = ship_markets([market, saved], tmp_path / "run", cluster=False)
    assert shipped == [str(tmp_path / "run" / "000"), str(saved)]
    store: list[Any] = []
    monkeypatch.setattr(ray, "put", lambda each: store.append(each) or len(store) - 1)
    monkeypatch.setattr(ray, "get", store.__getitem__)
    through = ship_markets([market, saved], tmp_path / "none", cluster=True)
    assert through == [0, 1]
    assert not (tmp_path / "none").exists()
    for opened in (*open_markets(shipped), *open_markets(through)):
        assert np.array_equal(opened.observations, market.observations)
        assert not opened.observations.flags.writeable


def test_sixteen_bits_are_refused_where_torch_has_none() -> None:
    with pytest.raises(InputError, match="precision: torch has no bfloat16 for meta; use float32 or auto"):
        MixedPrecision.choose("bfloat16", torch.device("meta"))
    assert MixedPrecision.choose("auto", torch.device("meta")).dtype is None
