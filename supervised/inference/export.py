"""All graphs of a trained fold in one folder, with what a program needs to use them without the rest of the suite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from data_pipeline.files import write_json
from data_pipeline.schema import BarArrays, segments
from features.batch import compute_features
from features.config import BarParameters
from supervised.chunks import complete_runs
from supervised.fold_store import TrainedFold
from supervised.inference.int8 import Int8Limits, export_int8
from supervised.inference.onnx_export import export_onnx, export_stream
from supervised.inference.onnx_session import ExportError
from supervised.market_data import labels

ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """One graph that was asked for."""

    model: str
    form: str
    """full, stream or int8."""
    path: Path
    finding: str
    """What was measured against the model, or why the graph was refused."""
    written: bool


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """A contiguous stretch of real rows, as models see them."""

    x: NDArray[np.float32]
    """(T, F) scaled features, complete."""
    y: NDArray[np.float32]
    """(T, H) label returns in bps, NaN unknown."""


def labelled_rows(fold: TrainedFold, bars: BarArrays, interval_ms: int) -> LabelledRows:
    """The longest complete stretch of the bars' feature rows. Raises InputError when no row is complete."""
    features = compute_features(bars, fold.feature_names, BarParameters(interval_ms=interval_ms))
    runs = complete_runs(features, segments(bars.open_time_ms, interval_ms))
    if len(runs) == 0:
        raise InputError("no row has all features", where="bars", remedy="give more bars: features have a warm-up")
    longest = slice(*runs[np.argmax(runs[:, 1] - runs[:, 0])])
    y, _ = labels(bars, fold.config.layout, interval_ms)
    return LabelledRows(fold.scaler.transform(features[longest]), y[longest, : len(fold.config.horizons)])


def export_fold(
    fold: TrainedFold, out: Path, rows: LabelledRows | None = None, limits: Int8Limits | None = None
) -> Iterator[Exported]:
    """Write `{model}.onnx`, `{model}.stream.onnx` and, given rows, `{model}.int8.onnx` of every member.

    A graph that is refused is not written; the others are. `about.json` is written first: the features in their
    order, their scaler, members and outputs.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / ABOUT,
        {
            "feature_names": list(fold.feature_names),
            "scaler": fold.scaler.to_dict(),
            "models": {
                member.kind: {
                    "outputs": [*fold.config.layout.columns(member.kind), *fold.config.layout.sd_columns(member.kind)],
                    "receptive_field": fold.models[member.kind].receptive_field,
                    "min_context": member.min_context,
                }
                for member in fold.config.models
            },
            "config_hash": fold.config_hash,
        },
    )
    for kind, model in fold.models.items():
        for form, suffix in (("full", ".onnx"), ("stream", ".stream.onnx"), ("int8", ".int8.onnx")):
            path = out / f"{kind}{suffix}"
            try:
                if form == "full":
                    finding = f"largest difference {export_onnx(model, path):.1e}"
                elif form == "stream":
                    finding = f"largest difference {export_stream(model, path):.1e}"
                elif rows is not None:
                    finding = str(export_int8(model, path, rows.x, rows.y, limits))
                else:
                    continue
            except ExportError as error:
                yield Exported(kind, form, path, str(error), False)
            else:
                yield Exported(kind, form, path, finding, True)
