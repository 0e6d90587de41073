"""Trains, restores and acts on the stand-in device; prints what it found as JSON (see test_agents_stand_in_device).

python agents_stand_in_check.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import agents_stand_in as stand_in
import numpy as np
import torch
from agents_market import DAY, signal_market
from test_agents_learning import EVERYTHING, SMALL, WINDOW, algorithm, equal, weights
from test_agents_train import CONFIG, MARKET

import agents.ppo
from agents.config import AgentConfig, NetworkConfig, PPOSettings
from agents.policy import load_policy
from agents.train import train

GRU = NetworkConfig(hidden=(16,), encoder="gru", encoder_width=8, normalise=True)
LSTM = NetworkConfig(hidden=(16,), encoder="lstm", encoder_width=8, shared_trunk=True)
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ppo discrete": ("ppo", "aim", {"actions": "discrete"}, {}),
    "ppo multi_discrete": ("ppo", "aim", {"actions": "multi_discrete"}, {}),
    "ppo box": ("ppo", "pendulum", {"episode": 40}, {}),
    "ppo gru": ("ppo", "aim", {"actions": "discrete", "episode": 5}, {"network": GRU, "fragment": 8}),
    "ppo lstm": ("ppo", "aim", {"actions": "box", "episode": 5}, {"network": LSTM, "fragment": 8}),
    "ddpg": ("ddpg", "pendulum", {"episode": 40}, {"network": WINDOW}),
}


def settings(kind: str, device: str, runner: str = "same", **changes: Any) -> AgentConfig:
    places = {**SMALL, "device": device, "runner_device": runner, "ddpg": EVERYTHING, **changes}
    return AgentConfig(kind, iterations=4, ppo=PPOSettings(minibatch=64), **places)  # type: ignore[arg-type]


def main(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"cases": list(CASES)}
    try:
        torch.zeros(2).to(stand_in.NAME) + torch.ones(2)
    except RuntimeError as error:
        found["mix"] = str(error)

    for name, (kind, env, options, changes) in CASES.items():
        ends = []
        for device, runner in (("cpu", "same"), (stand_in.NAME, "same"), (stand_in.NAME, "cpu")):
            with algorithm(settings(kind, device, runner, **changes), env, **options) as built:
                for step in range(4):
                    stand_in.COUNTS.clear()
                    built.train()
                    if step == 1 and (device, runner) == (stand_in.NAME, "same"):
                        built.save_to_path(str(folder / name))
                waits = stand_in.COUNTS["waits"]
                learner, module = built.learner_group._learner, built.env_runner.module
                places = [str(next(part.parameters()).device) for part in (learner._net, module)]
                states = [entry for each in learner._named_optimizers.values() for entry in each.state.values()]
                moments = {str(entry["exp_avg"].device) for entry in states}
                ends.append(weights(built))
                found[f"{name} {device} {runner}"] = [*places, *moments, waits]
        with algorithm(settings(kind, stand_in.NAME, **changes), env, **options) as built:
            built.restore_from_path(str(folder / name))
            built.train()
            built.train()
            ends.append(weights(built))
        found[name] = [equal(ends[0], each) for each in ends[1:]]

    market = signal_market(3, seed=3)
    config = replace(CONFIG, device=stand_in.NAME)
    later = market.slice(2 * DAY, 3 * DAY)
    result = train(market.slice(0, 2 * DAY), MARKET, config, folder / "run", validation=later)
    on_cpu, on_device = (load_policy(result.run_dir, device=device) for device in ("cpu", stand_in.NAME))
    columns = len(on_cpu.spec.observation_columns)
    rows = np.random.default_rng(0).standard_normal((50, columns), dtype=np.float32)
    place = str(next(on_device.network.parameters()).device)
    found["policy"] = [place, bool(np.array_equal(on_cpu.act(rows), on_device.act(rows)))]

    agents.ppo.to_device = lambda values, device: torch.from_numpy(values)  # a move that somebody forgot
    try:
        with algorithm(settings("ppo", stand_in.NAME), "pendulum") as built:
            built.train()
    except RuntimeError as error:
        found["missed"] = str(error)
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
