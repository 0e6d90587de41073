"""What learning on costs a live session: work per bar beside the models as trained, and what a restart has to keep.

    python -m benchmarks.online

All four architectures at their default sizes, trained briefly on a SYNTHETIC market, then the next bars one at a time
through `live.predictor.RollingPredictor` with learning and without, in turns; features are computed beforehand. Both
have gone over 10,500 bars more by then, so that replay and the guard's rows are full. Processor time per bar, updates
included. Keys of the RESULT line:

    learning_ms, still_ms    of one bar, median over the blocks; without learning the compiled streams answer
    learning_vs_still        their ratio
    state_mb_{model}         10^6 bytes of one model's part of the saved state; `_replay` is replay alone
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import tyro

from data_pipeline.schema import BarArrays
from features.bars.catalogue import BAR_FIELDS
from live.feed import ClosedBar
from live.predictor import RollingPredictor
from supervised.config import MODEL_KINDS, TrainConfig
from supervised.devices import torch_threads
from supervised.meta import Ensemble
from supervised.online.arrays import Arrays, part
from supervised.online.config import LearningConfig, StudyConfig
from supervised.online.fold import OnlineFold
from supervised.online.run import run_online
from supervised.online.study import make_trial, market_of, train_fold

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Args:
    """Benchmark of learning on."""

    warm_rows: int = 10_500
    """Bars learned from before anything is measured."""
    blocks: int = 9
    """Turns of each side; the first warms up and does not count."""
    bars: int = 320
    """Of one block: ten updates."""
    learning: LearningConfig = field(default_factory=LearningConfig)
    """How the models learn on."""


def main(args: Args) -> int:
    """Print a line per measurement and the RESULT line."""
    measured = args.blocks * args.bars
    study = StudyConfig(
        "stationary",
        kinds=MODEL_KINDS,
        hidden=0,
        look_back=100,
        train=TrainConfig(epochs=1),
        train_rows=6_000,
        before=args.warm_rows,
        after=measured,
        window=measured,
    )
    trial = make_trial(study, study.seed, flip=None)
    fold = train_fold(trial, study)
    ensemble = Ensemble.start(fold.config.ensemble, study.horizons, tuple(fold.models), trial.feature_names)
    begin = study.train_rows + args.warm_rows
    warm = OnlineFold(fold, ensemble, args.learning)
    with torch_threads(1):
        run_online(warm, trial.X, trial.labels, trial.segments, study.train_rows, begin)
    result = state_sizes(warm.state(), tuple(fold.models))
    sides = {
        "still": RollingPredictor(fold, ensemble, MINUTE_MS),
        "learning": RollingPredictor(fold, ensemble, MINUTE_MS, args.learning),
    }
    sides["learning"].members.restore(warm.state())
    bars = closed_bars(market_of(study, study.seed, None).arrays(), begin)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    with torch_threads(1):
        for start in range(0, measured, args.bars):
            for name, predictor in sides.items():
                since = time.process_time()
                for number in range(start, start + args.bars):
                    predictor.update(bars[number], trial.X[begin + number])
                taken[name].append((time.process_time() - since) / args.bars)
    for predictor in sides.values():
        predictor.members.close()
    per_bar = {name: 1e3 * statistics.median(times[1:]) for name, times in taken.items()}
    result |= {f"{name}_ms": round(value, 3) for name, value in per_bar.items()}
    result["learning_vs_still"] = round(per_bar["learning"] / per_bar["still"], 1)
    for name, value in result.items():
        print(f"{name:28} {value}")
    print("RESULT " + json.dumps(result))
    return 0


def closed_bars(bars: BarArrays, begin: int) -> list[ClosedBar]:
    """As a feed would bring them."""
    rows = np.stack([getattr(bars, name) for name in BAR_FIELDS], axis=1)[begin:]
    return [ClosedBar.from_row(time_ms, row) for time_ms, row in zip(bars.open_time_ms[begin:], rows, strict=True)]


def state_sizes(state: Arrays, kinds: tuple[str, ...]) -> dict[str, float]:
    """Of `OnlineFold.state`, by model, in 10^6 bytes."""
    sizes = {}
    for kind in kinds:
        own = part(state, kind)
        sizes[f"state_mb_{kind}"] = _megabytes(own)
        sizes[f"state_mb_{kind}_replay"] = _megabytes(part(own, "replay"))
    return sizes


def _megabytes(arrays: Arrays) -> float:
    return round(sum(array.nbytes for array in arrays.values()) / 1e6, 2)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
