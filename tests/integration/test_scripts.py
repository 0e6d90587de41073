"""Every command: help without heavy imports, a runnable example in its docstring; the doctor's findings."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import doctor

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if path.stem not in ("__init__", "cli"))
HEAVY = ("torch", "ray", "numba", "pyarrow", "onnxruntime", "ccxt", "pandas")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_without_heavy_imports(name: str) -> None:
    code = (
        f"import runpy, sys\nsys.argv = ['{name}', '--help']\n"
        f"try:\n    runpy.run_module('scripts.{name}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as done:\n    assert not done.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_docstring_holds_an_example(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / "scripts" / f"{name}.py").read_text()), clean=False)
    assert docstring is not None
    assert f"\n    python -m scripts.{name}" in docstring


def test_doctor_knows_a_foreign_package() -> None:
    good = {name: str(ROOT / name) for name in doctor.PACKAGES}
    assert doctor.foreign(good) == []
    (line,) = doctor.foreign(good | {"agents": "/elsewhere/agents"})
    assert "agents comes from /elsewhere/agents" in line
    assert "uninstall" in line


@pytest.mark.slow
def test_doctor_finds_this_installation_well_here_and_in_a_ray_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.doctor"], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a Ray worker" in done.stdout
    assert "all is well" in done.stdout
