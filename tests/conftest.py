"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

# Before anything imports torch, and inherited by every process a test starts: on busy cores two threads that wait for
# each other are many times slower than one.
os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from tests.live_tools import LiveRun


@pytest.fixture(scope="session")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """A small finished run, see `tests.live_tools`; do not write into its folder."""
    from tests.live_tools import build_run  # here, so that tests of light modules need no torch

    return build_run(tmp_path_factory.mktemp("live-run"))
