"""Training computes on the chosen device: proved on a stand-in that refuses any mix with CPU tensors.

The stand-in computes on the CPU behind its tensors, so training on it must give the CPU's weights bit for bit. For the
LSTM torch takes another path on accelerators, whose sums round otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_training_resuming_and_forecasting_follow_the_device(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.supervised_stand_in_check", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for name in ("tcn", "transformer", "mixer", "symbols"):
        assert found[name] == ["standin:0", 0.0], name
        assert found.get(f"{name} forecasts", 0.0) == 0.0, name
    assert found["lstm"][0] == "standin:0"
    assert max(found["lstm"][1], found["lstm forecasts"]) < 1e-4
    assert found["resumed"] == 0.0
    assert "mixes standin and CPU tensors" in found["missed"]
