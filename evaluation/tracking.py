"""A finished run in MLflow: its options as parameters, its numbers as metrics, its report and policy as artifacts.

MLflow is the optional extra `tracking`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError

EXPERIMENT = "scalping"
ARTIFACTS = ("report.html", "summary.json", "config.json", "environment.json", "data.json", "policy.onnx")
LONGEST_VALUE = 500  # characters of a parameter that every MLflow store takes


def check_tracking() -> None:
    """Raise InputError when MLflow is not installed, before a run has taken its hours."""
    if importlib.util.find_spec("mlflow") is None:
        raise InputError(
            "MLflow is not installed", where="--track", remedy="pip install 'crypto-scalping-suite[tracking]'"
        )


def track_run(uri: str, folder: Path, options: dict[str, Any], summary: dict[str, Any]) -> str:
    """Log the run in `folder` to the MLflow store at `uri` (such as sqlite:///mlflow.db); returns MLflow's run id.

    A run logged before from the same folder is logged again as a new MLflow run.
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=folder.name) as run:
        mlflow.log_params({name: str(value)[:LONGEST_VALUE] for name, value in options.items()})
        mlflow.log_metrics(dict(numbers(summary)))
        for name in ARTIFACTS:
            mlflow.log_artifact(str(folder / name))
    return str(run.info.run_id)


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested mappings, by its path; lists are left out, they are what the report is for."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, f"{path}/{name}" if path else str(name))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield "".join(c if c.isalnum() or c in "_-./ " else "_" for c in path), float(value)
