"""Trying out in a child process what might end, damage or hang this one."""

from __future__ import annotations

import signal
import subprocess
import sys


def fails_in_child(arguments: list[str], timeout_s: float = 120.0) -> str:
    """Run this Python with `arguments`: "" when it ended well in time, else why not, in a few words."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, errors="replace", timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {timeout_s:.0f} s"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"it was ended by {signal.Signals(-done.returncode).name}"
    said = done.stderr.strip().splitlines()
    return f"it ended with code {done.returncode}" + (f" ({said[-1].strip()})" if said else "")
