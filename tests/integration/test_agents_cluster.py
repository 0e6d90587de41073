"""A run on a cluster of two nodes: markets travel once, and it outlives a runner and a node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "agents_cluster_check.py"


@pytest.mark.slow
def test_a_run_on_a_cluster_outlives_a_runner_and_a_node(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECK), str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    head, (second,) = found["head"], {runner["node"] for runner in found["runners"]}
    assert head != second
    # One copy of the market where it was put and one where two runners read it, from shared memory, unchangeable.
    assert found["copies"] == {head: 1.0, second: 1.0}
    assert all("plasma" in runner["memory"] and not runner["writeable"] for runner in found["runners"])
    assert found["folders"] == ["checkpoints", "history.jsonl", "identity.json", "tensorboard"]
    # Runners, and runners lost so far. The third iteration went on with one of two; before the fifth both went down
    # with their node, and it waited for them on the first.
    history = {iteration: (alive, lost) for iteration, alive, lost in found["history"]}
    assert sorted(history) == [1, 2, 3, 4, 5, 6, 7]
    assert history[2] == (2, 0)
    assert history[3] == (1, 1)
    assert history[6][1] == 3  # a runner may have answered once more after its node was gone
    assert history[7] == (2, 3)
    assert [runner["node"] for runner in found["moved"]] == [head, head]
    assert not {runner["pid"] for runner in found["moved"]} & {runner["pid"] for runner in found["runners"]}
    assert found["same weights"] == [True, True]
