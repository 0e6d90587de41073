"""Trains on a small Ray cluster of two nodes on this machine; prints what it found as JSON (see test_agents_cluster).

python agents_cluster_check.py FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from agents_market import signal_market
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster
from test_agents_train import CONFIG, MARKET

from agents.algorithm import BatchedAlgorithm
from agents.config import ScaleSettings
from agents.runner import BatchedEnvRunner
from agents.train import train

RUNNERS = 2


def where(runner: BatchedEnvRunner) -> dict[str, Any]:
    """Where a runner lives, and in what memory its market does."""
    prices = runner.env.markets[0].prices
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    ranges = [(*(int(end, 16) for end in fields[0].split("-")), fields[-1]) for fields in maps]
    return {
        "pid": os.getpid(),
        "node": ray.get_runtime_context().get_node_id(),
        "memory": next(name for start, stop, name in ranges if start <= prices.ctypes.data < stop),
        "writeable": bool(prices.flags.writeable),
    }


def runners(algorithm: BatchedAlgorithm) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = algorithm.env_runner_group.foreach_env_runner(where, local_env_runner=False)
    return found


def stored_bytes() -> dict[str, int]:
    """What the object store of each node holds."""
    places = {node["NodeID"]: (node["NodeManagerAddress"], node["NodeManagerPort"]) for node in ray.nodes()}
    stats = {name: node_stats(*place, include_memory_info=False).store_stats for name, place in places.items()}
    return {name: int(each.object_store_bytes_used) for name, each in stats.items()}


@ray.remote
class Tenant:
    """Takes room on a node."""


def on_two_nodes(folder: Path, cluster: Cluster) -> dict[str, Any]:
    """A run whose two runners live on the second node; one is killed, then the node."""
    found: dict[str, Any] = {"head": ray.get_runtime_context().get_node_id()}
    tenant = Tenant.options(num_cpus=RUNNERS).remote()
    ray.get(tenant.__ray_ready__.remote())
    second = cluster.add_node(num_cpus=RUNNERS)
    cluster.wait_for_nodes()
    before = stored_bytes()
    market = signal_market(12, seed=3)
    arrays = sum(getattr(market, name).nbytes for name in market.ARRAYS)

    def look(algorithm: BatchedAlgorithm) -> None:
        found["runners"] = runners(algorithm)
        found["copies"] = {node: round((held - before[node]) / arrays, 1) for node, held in stored_bytes().items()}

    def kill_runner(algorithm: BatchedAlgorithm) -> None:
        os.kill(runners(algorithm)[0]["pid"], signal.SIGKILL)

    def kill_node(algorithm: BatchedAlgorithm) -> None:
        wait_for_all(algorithm)
        ray.kill(tenant)
        cluster.remove_node(second, allow_graceful=False)

    def wait_for_all(algorithm: BatchedAlgorithm) -> None:
        while algorithm.env_runner_group.num_healthy_remote_env_runners() < RUNNERS:
            algorithm.restore_env_runners(algorithm.env_runner_group)
            time.sleep(0.1)

    def look_again(algorithm: BatchedAlgorithm) -> None:
        wait_for_all(algorithm)
        found["moved"] = runners(algorithm)
        learned = algorithm.learner_group.get_weights()["default_policy"]
        states = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.module.get_state(), local_env_runner=False
        )
        found["same weights"] = [all(np.array_equal(each[name], learned[name]) for name in each) for each in states]

    events: dict[int, Callable[[BatchedAlgorithm], None]] = {1: look, 2: kill_runner, 4: kill_node, 6: look_again}
    collect = BatchedAlgorithm.collect

    def watched(self: BatchedAlgorithm, **options: Any) -> Any:
        events.pop(self.iteration, lambda _: None)(self)
        return collect(self, **options)

    BatchedAlgorithm.collect = watched  # type: ignore[method-assign]
    scale = ScaleSettings(address=cluster.address)
    config = replace(CONFIG, num_env_runners=RUNNERS, iterations=7, validate_every=0, checkpoint_every=7, scale=scale)
    result = train(market, MARKET, config, folder / "run")
    BatchedAlgorithm.collect = collect  # type: ignore[method-assign]
    found["history"] = [
        [int(record[name]) for name in ("iteration", "scale/runners", "scale/lost_runners")]
        for record in result.history
    ]
    found["folders"] = sorted(path.name for path in (folder / "run").iterdir())
    return found


def main(folder: Path) -> dict[str, Any]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": RUNNERS, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    found = on_two_nodes(folder, cluster)
    ray.shutdown()
    cluster.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
