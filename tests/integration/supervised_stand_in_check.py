"""Trains, goes on and predicts on the stand-in device; prints what it found as JSON (test_supervised_stand_in_device).

python -m tests.integration.supervised_stand_in_check FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import supervised.training
from supervised.config import MODEL_KINDS
from supervised.devices import resolve_device
from supervised.fit_state import FileCheckpoint, copy_state
from supervised.forecasting import predict
from supervised.losses import loss_weights
from supervised.symbols import SymbolModel
from supervised.training import Trained, fit
from tests.integration import agents_stand_in as stand_in
from tests.supervised_tools import RUNS, TRAIN, chunk_sets, rows, small_model

QUICK = replace(TRAIN, epochs=2, batch=10)
NAMES = (*MODEL_KINDS, "symbols")


def trained(name: str, device: str, checkpoint: FileCheckpoint | None = None) -> Trained:
    inner = small_model(name if name in MODEL_KINDS else "tcn")
    model = (SymbolModel(inner, 1) if name == "symbols" else inner).to(resolve_device(device))
    fit(model, *chunk_sets(inner), QUICK, seed=3, checkpoint=checkpoint)
    return model


def difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    ours, theirs = copy_state(one.to("cpu")), copy_state(other.to("cpu"))
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours if ours[name].numel())


def main(folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in NAMES:
        on_cpu, on_device = trained(name, "cpu"), trained(name, stand_in.NAME)
        place = str(next(on_device.parameters()).device)
        if name in MODEL_KINDS:
            assert not isinstance(on_device, SymbolModel)
            assert not isinstance(on_cpu, SymbolModel)
            told = [predict(m, rows()[0], RUNS, 1000, 1500, QUICK, min_context=5) for m in (on_cpu, on_device)]
            found[f"{name} forecasts"] = float(np.nanmax(np.abs(told[0] - told[1])))
        found[name] = [place, difference(on_cpu, on_device)]

    whole = trained("tcn", stand_in.NAME)
    checkpoint = FileCheckpoint(folder / "fit.pt", "these", every=3)
    supervised.training.Alone.total = interrupt_at(5)  # type: ignore[method-assign]
    try:
        trained("tcn", stand_in.NAME, checkpoint)
    except InterruptedError:
        supervised.training.Alone.total = lambda _self, values: values  # type: ignore[method-assign]
        found["resumed"] = difference(whole, trained("tcn", stand_in.NAME, checkpoint))

    supervised.training.loss_weights = lambda tally, tasks, _device: loss_weights(tally, tasks)  # a forgotten move
    try:
        trained("tcn", stand_in.NAME)
    except RuntimeError as error:
        found["missed"] = str(error)
    return found


def interrupt_at(call: int) -> Any:
    calls = iter(range(call))

    def total(_self: object, values: torch.Tensor) -> torch.Tensor:
        if next(calls, None) is None:
            raise InterruptedError
        return values

    return total


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
