"""Years of rows in bounded memory: a run must fit where neither its matrix nor windows of it would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_run_fits_where_its_matrix_does_not(tmp_path: Path) -> None:
    """60 MB for a matrix of 100 MB in float32: scaling, training and predicting go through it piece by piece."""
    command = [sys.executable, "-m", "tests.integration.supervised_memory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["predicted"] == 10_000
    assert not found["float64"]  # the ceiling is real: these are what it is there to catch
    assert not found["float32"]
    assert not found["windows"]
    assert sorted(found["left over"]) == ["ensemble.json", "fold_0", "predictions.parquet"]
