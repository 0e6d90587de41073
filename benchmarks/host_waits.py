"""How often the host waits for the device in one training iteration of PPO, counted on the tests' stand-in device.

    python -m benchmarks.host_waits

The learner computes on the stand-in, the runner on the CPU (`runner_device="cpu"`), which spares a wait per bar. Prints
the waits of one iteration of 256 lanes × 64 bars: copies to the host and single numbers read.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

STAND_IN = Path(__file__).parents[1] / "tests" / "integration"


def host_waits() -> int:
    """Count in a process of its own, because the stand-in changes the process that it is in."""
    path = os.pathsep.join([str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "benchmarks.host_waits", "here"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return int(done.stdout.split()[-1])


def count() -> int:
    """Waits of the third iteration; the first two warm up."""
    import agents_stand_in as stand_in

    from agents.config import AgentConfig
    from agents.runtime import rllib_config, start_ray
    from agents.train import make_market_env
    from benchmarks.rl_training import saved_market
    from envs.config import MarketConfig

    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        env_config = {"markets": [saved_market(Path(folder), features=8)], "config": MarketConfig()}
        settings = AgentConfig(device=stand_in.NAME, runner_device="cpu")
        algorithm = rllib_config(settings, "benchmark", make_market_env, env_config).build_algo()
        for _ in range(3):
            stand_in.COUNTS.clear()
            algorithm.train()
        waits = int(stand_in.COUNTS["waits"])
        algorithm.stop()
    return waits


if __name__ == "__main__":
    print(count() if sys.argv[1:] == ["here"] else host_waits())
