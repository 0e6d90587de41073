"""Trains on a matrix on disk under a ceiling of memory far below its size; prints what fitted (test_supervised_memory).

python -m tests.integration.supervised_memory FOLDER
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from supervised.chunks import row_blocks
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset
from supervised.fold_training import Conduct
from supervised.spool import spool
from supervised.walk_forward import walk_forward

ROWS, FEATURES, CEILING = 250_000, 100, 60_000_000
CONFIG = WalkForwardConfig(
    horizons=(1,),
    models=(ModelConfig(kind="tcn", hidden=4, window=8),),
    train=TrainConfig(epochs=1),
    folds=1,
    first_train_fraction=0.96,
    rolling_rows=20_000,
)


def dataset(folder: Path, rows: int) -> Dataset:
    """Random features, mapped from a file, and labels that follow the first."""

    def blocks() -> Iterator[np.ndarray]:
        for block in row_blocks(rows):
            random = np.random.default_rng(block.start)
            yield random.standard_normal((block.stop - block.start, FEATURES), dtype=np.float32)

    X = spool(folder / f"X{rows}.npy", blocks(), (rows, FEATURES), np.float32)
    number = np.arange(rows)
    y = X[:, :1] + np.random.default_rng(0).standard_normal((rows, 1), dtype=np.float32)
    y[-2:] = np.nan
    return Dataset(X, y, number[:, None] + 2, np.array([[0, rows]]), number * 60_000)


def limit(more: int) -> None:
    """Let this process hold at most `more` bytes beyond what it holds: heaps and private maps, not mapped files."""
    held = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert held is not None
    resource.setrlimit(resource.RLIMIT_DATA, (int(held[1]) * 1024 + more, resource.RLIM_INFINITY))


def fits(work: Callable[[], Any]) -> bool:
    try:
        work()
    except MemoryError:
        return False
    return True


def main(folder: Path) -> dict[str, Any]:
    small = dataset(folder, 40_000)  # everything is loaded and warm before memory is counted
    walk_forward({"": small}, CONFIG, Conduct(folder / "small"))
    data = dataset(folder, ROWS)
    limit(CEILING)
    found = walk_forward({"": data}, CONFIG, Conduct(folder / "large"))[""]
    windows = np.lib.stride_tricks.sliding_window_view(data.X[:10_000], 8, axis=0)
    return {
        "predicted": int(np.isfinite(found.values).all(axis=1).sum()),
        "float64": fits(lambda: data.X.astype(np.float64)),
        "float32": fits(lambda: np.array(data.X)),
        "windows": fits(windows.copy) and fits(lambda: np.repeat(data.X[:10_000], 20, axis=0)),
        "left over": [path.name for path in (folder / "large").iterdir()],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
