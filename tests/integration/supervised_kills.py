"""Fits that are killed or interrupted and gone on with; prints what became of them as JSON (test_supervised_resume).

python -m tests.integration.supervised_kills FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from supervised.fit_state import FileCheckpoint, copy_state
from supervised.symbols import SymbolModel
from supervised.training import Trained, fit
from tests.supervised_tools import TRAIN, Signal, chunk_sets, small_model

EVERY, SEED = 4, 7


def plain() -> Trained:
    return small_model()


def of_symbols() -> Trained:
    return SymbolModel(small_model("lstm"), 2)


def run(make: Callable[[], Trained], path: Path | None, watch: Signal | None = None) -> dict[str, torch.Tensor]:
    model = make()
    inner = model.model if isinstance(model, SymbolModel) else model
    checkpoint = None if path is None else FileCheckpoint(path, "these", EVERY)
    fit(model, *chunk_sets(inner, seeds=(0, 1)), TRAIN, seed=SEED, watch=watch, checkpoint=checkpoint)
    return copy_state(model)


def killed(make: Callable[[], Trained], path: Path, watch: Signal | None, *, while_saving: bool = False) -> int:
    """Run in a child until the signal; the child's signal (0: it ended)."""
    child = os.fork()
    if child == 0:
        if while_saving:
            whole = torch.save

            def half(value: Any, file: Any) -> None:
                if value["state"]["step"] > EVERY:
                    Path(file).write_bytes(b"half of it")
                    os.kill(os.getpid(), signal.SIGKILL)
                whole(value, file)

            torch.save = half  # type: ignore[assignment]
        run(make, path, watch)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def main(folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for make in (plain, of_symbols):
        wanted = run(make, None)
        steps = []

        def same(path: Path, make: Any = make, wanted: Any = wanted) -> bool:
            got = run(make, path)
            return all(torch.equal(wanted[name], got[name]) for name in wanted)

        for step in (1, 4, 6, 7, 15):
            path = folder / f"{make.__name__}-{step}.pt"
            died = killed(make, path, Signal(signal.SIGKILL, step))
            steps.append([died, path.exists(), same(path)])
        found[make.__name__] = steps

    path = folder / "saving.pt"
    found["while saving"] = [killed(plain, path, None, while_saving=True), same_state(path), run_equal(path)]

    path = folder / "interrupted.pt"
    try:
        run(plain, path, Signal(signal.SIGINT, 6))
    except KeyboardInterrupt:
        found["interrupted"] = [torch.load(path, weights_only=True)["state"]["step"], run_equal(path)]
    return found


def same_state(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["state"]["step"])


def run_equal(path: Path) -> bool:
    wanted, got = run(plain, None), run(plain, path)
    return all(torch.equal(wanted[name], got[name]) for name in wanted)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
