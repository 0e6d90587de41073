"""The on-disk cache of compiled code must notice an edit in any file that took part."""

import shutil
import subprocess
import sys
from pathlib import Path

import envs.compiled

ENTRY = """
from copied.compiled import kernel
from copied.part import twice

@kernel
def entry(x):
    return twice(x)
"""
PART = """
from copied.compiled import inlined

@inlined
def twice(x):
    return {} * x
"""


def result_of(folder: Path) -> float:
    code = "from copied.entry import entry; print(entry(1.5))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return float(shown.stdout)


def test_an_edit_of_an_inlined_part_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(envs.compiled.__file__, package / "compiled.py")
    (package / "entry.py").write_text(ENTRY)
    (package / "part.py").write_text(PART.format("2.0"))
    assert result_of(tmp_path) == 3.0
    cached = set((package / "__pycache__").glob("*.nbc"))
    assert cached
    assert result_of(tmp_path) == 3.0
    assert set((package / "__pycache__").glob("*.nbc")) == cached  # the second run compiled nothing
    (package / "part.py").write_text(PART.format("4.0"))
    assert result_of(tmp_path) == 6.0
