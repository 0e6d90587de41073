"""The main job, end to end: bars, features, walk-forward predictions, an RL policy, a backtest, a report.

On the embedded synthetic market (no network, no keys):

    python -m scripts.run_scalping_experiment

On real bars (Parquet, CSV or the exchange's zipped CSV):

    python -m scripts.run_scalping_experiment --bars BTCUSDT-1m-2026-03.zip --agent ppo --out runs/btc-march

Interrupted (Ctrl-C, a crash, a kill)? The same command with --resume goes on from the last checkpoint. Watch the
training with `tensorboard --logdir runs`.
"""

from __future__ import annotations

import sys

from evaluation.config import ExperimentConfig
from scripts import cli


def main(config: ExperimentConfig) -> int:
    """Run the experiment; 0 when it ran to its end, whatever the verdict."""
    from evaluation.experiment import run_experiment

    run_experiment(config)
    return 0


def main_cli() -> int:
    """Console entry point."""
    return cli.run(ExperimentConfig, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
