"""What a run tells while it trains: one flat record per iteration, appended to a JSONL file and sent to TensorBoard,
where actions are also shown as histograms and the validation days as pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.metadata import create_summary_metadata
from torch.utils.tensorboard import SummaryWriter

from agents.action_figures import Histogram
from agents.algorithm import WatchedAlgorithm
from agents.figure_names import DESCRIPTIONS, layout
from data_pipeline.files import atomic_path
from envs.sharpe import MS_PER_YEAR, sharpe_standard_error

HISTORY = "history.jsonl"
TENSORBOARD = "tensorboard"
Record = dict[str, float]


def iteration_record(
    algorithm: WatchedAlgorithm, result: Mapping[str, Any], seconds: float, interval_ms: int
) -> Record:
    """Figures of the iteration that just ended; `agents.figure_names` says what each of them means.

    `episode/*` are means over the episodes that ended in it (absent when none did), `learn/*` the learner's losses,
    `speed/*` where its time went: `wait` is what was neither sampling nor learning.

    Args:
        algorithm: what trains.
        result: what its `train` returned.
        seconds: how long that took.
        interval_ms: length of a bar.
    """
    record: Record = {"iteration": float(algorithm.iteration)}
    record["rows"] = float(result[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED_LIFETIME])
    record["scale/runners"] = float(algorithm.live_runners)
    record["scale/lost_runners"] = float(algorithm.lost_runners)
    episodes = algorithm.last_episodes
    if episodes:
        record["episode/count"] = float(len(episodes["return"]))
        record |= {f"episode/{name}": float(np.mean(values)) for name, values in episodes.items()}
        if "sharpe" in episodes:
            record["episode/sharpe_error"] = _sharpe_error(episodes["sharpe"], episodes["bars"], interval_ms)
    learned = result.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})
    record |= {f"learn/{name}": float(value) for name, value in learned.items() if isinstance(value, int | float)}
    parts = dict(algorithm.last_seconds)
    record |= {
        f"speed/{name}_rows_per_second": algorithm.last_rows[name] / max(spent, 1e-9) for name, spent in parts.items()
    }
    parts["wait"] = seconds - sum(parts.values())
    record |= {f"speed/{name}_seconds": spent for name, spent in parts.items()}
    record["speed/rows_per_second"] = algorithm.last_rows.get("sample", 0) / max(seconds, 1e-9)
    return finite(record)


def _sharpe_error(sharpes: NDArray[np.float64], bars: NDArray[np.float64], interval_ms: int) -> float:
    """Standard error of the mean of the episodes' annual Sharpe ratios, each with that of Lo (2002)."""
    scale = math.sqrt(MS_PER_YEAR / interval_ms)
    errors = [sharpe_standard_error(s / scale, int(n)) for s, n in zip(sharpes, np.maximum(bars, 1), strict=True)]
    return scale * math.sqrt(math.fsum(error * error for error in errors)) / len(errors)


def finite(record: Record) -> Record:
    """The figures that are known."""
    return {name: value for name, value in record.items() if math.isfinite(value)}


class Monitor:
    """Appends records to `run_dir/history.jsonl` and to TensorBoard events below `run_dir/tensorboard`.

    Args:
        run_dir: folder of the run.
        iteration: iterations done before, -1 for a run that begins; later records of an earlier, interrupted attempt
            are dropped.
    """

    def __init__(self, run_dir: Path, iteration: int) -> None:
        self.path = run_dir / HISTORY
        self.history = [record for record in read_history(run_dir) if record["iteration"] <= iteration]
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(_line(record) for record in self.history))
        self._file = self.path.open("a")
        # purge_step tells TensorBoard to forget what an interrupted attempt wrote beyond this point.
        self._writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=iteration + 1)
        self._writer.add_custom_scalars(layout())
        self._described: set[str] = set()

    def add(self, record: Record) -> None:
        """Keep one iteration's record."""
        self.history.append(record)
        self._file.write(_line(record))
        self._file.flush()
        step = int(record["iteration"])
        for name, value in record.items():
            if name != "iteration":
                self._scalar(name if "/" in name else f"progress/{name}", value, step)

    def _scalar(self, name: str, value: float, step: int) -> None:
        """Send a number; the first of its name brings its description, which torch's own `add_scalar` cannot."""
        metadata = None
        if name not in self._described:
            self._described.add(name)
            metadata = create_summary_metadata(display_name="", description=DESCRIPTIONS.get(name, ""))
        told = Summary(value=[Summary.Value(tag=name, simple_value=value, metadata=metadata)])
        self._writer._get_file_writer().add_summary(told, step)

    def add_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        """Send distributions after `step` iterations."""
        for name, (values, edges) in histograms.items():
            self._writer.add_histogram(name, values, step, bins=edges)  # type: ignore[arg-type]

    def add_picture(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Send an image (height, width, 3) after `step` iterations."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

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
