"""What a run tells while it trains: one flat record per iteration, appended to a JSONL file and sent to TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch.utils.tensorboard import SummaryWriter

from agents.algorithm import BatchedAlgorithm
from data_pipeline.files import atomic_path

HISTORY = "history.jsonl"
TENSORBOARD = "tensorboard"
Record = dict[str, float]


def iteration_record(algorithm: BatchedAlgorithm, result: Mapping[str, Any]) -> Record:
    """Figures of the iteration that just ended.

    `episode/*` are means over the episodes that ended in it (absent when none did), `learn/*` the learner's losses,
    `speed/*` rows per second of sampling, of learning, and of the whole iteration.
    """
    record: Record = {"iteration": float(algorithm.iteration)}
    record["rows"] = float(result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED_LIFETIME])
    episodes = algorithm.last_episodes
    if episodes:
        record["episode/count"] = float(len(episodes["return"]))
        record |= {f"episode/{name}": float(np.mean(values)) for name, values in episodes.items()}
    learned = result.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})
    record |= {f"learn/{name}": float(value) for name, value in learned.items() if isinstance(value, int | float)}
    for name, seconds in algorithm.last_seconds.items():
        record[f"speed/{name}_seconds"] = seconds
        record[f"speed/{name}_rows_per_second"] = algorithm.last_rows[name] / max(seconds, 1e-9)
    total = sum(algorithm.last_seconds.values())
    record["speed/rows_per_second"] = algorithm.last_rows.get("sample", 0) / max(total, 1e-9)
    return {name: value for name, value in record.items() if math.isfinite(value)}


class Monitor:
    """Appends records to `run_dir/history.jsonl` and to TensorBoard events below `run_dir/tensorboard`.

    Args:
        run_dir: folder of the run.
        iteration: iterations done before; later records of an earlier, interrupted attempt are dropped.
    """

    def __init__(self, run_dir: Path, iteration: int) -> None:
        self.path = run_dir / HISTORY
        self.history = [record for record in read_history(run_dir) if record["iteration"] <= iteration]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(_line(record) for record in self.history))
        self._file = self.path.open("a")
        # purge_step tells TensorBoard to forget what an interrupted attempt wrote beyond this point.
        self._writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=iteration + 1)

    def add(self, record: Record) -> None:
        """Keep one iteration's record."""
        self.history.append(record)
        self._file.write(_line(record))
        self._file.flush()
        step = int(record["iteration"])
        for name, value in record.items():
            if name != "iteration":
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._writer.close()


def read_history(run_dir: Path) -> list[Record]:
    """Records of a run, in order; a last line cut short by a crash is left out."""
    try:
        lines = (run_dir / HISTORY).read_text().splitlines()
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _line(record: Record) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
