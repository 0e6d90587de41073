"""Everything computes on the chosen device: proved on a stand-in that refuses any mix with CPU tensors.

The stand-in computes on the CPU behind its tensors, so training on it must give the CPU's weights bit for bit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "agents_stand_in_check.py"


@pytest.mark.slow
def test_training_restoring_and_acting_follow_the_device(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["mix"] == "add mixes standin and CPU tensors"
    for name in found["cases"]:
        assert found[name] == [True, True, True], name  # on the device, with the runner on the CPU, after a restore
        assert found[f"{name} cpu same"] == ["cpu", "cpu", "cpu", 0]
        assert found[f"{name} standin same"][:3] == ["standin:0", "standin:0", "standin:0"]
        *places, waits = found[f"{name} standin cpu"]
        assert places == ["standin:0", "cpu", "standin:0"]
        assert waits <= 20, name  # the host waits for the device a fixed few times per iteration, not per minibatch
    assert found["policy"] == ["standin:0", True]
    assert "mixes standin and CPU tensors" in found["missed"]
