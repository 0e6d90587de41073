"""A run in a real MLflow store on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from evaluation import tracking

mlflow = pytest.importorskip("mlflow")


@pytest.mark.slow
def test_a_run_is_found_again_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow puts artifacts of a SQLite store below the working directory
    folder = tmp_path / "some-run"
    folder.mkdir()
    for name in tracking.ARTIFACTS:
        (folder / name).write_text(name)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    summary = {"overall": {"net_return": -0.25, "ok": True, "curve": [1.0, 2.0]}, "trials": 3, "p (up)": 0.5}
    run_id = tracking.track_run(uri, folder, {"agent": "ppo", "bars": ["x" * 900]}, summary)

    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.info.run_name == "some-run"
    assert run.data.metrics == {"overall/net_return": -0.25, "trials": 3.0, "p _up_": 0.5}
    assert run.data.params["agent"] == "ppo"
    assert {file.path for file in client.list_artifacts(run_id)} == set(tracking.ARTIFACTS)


def test_a_missing_mlflow_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.check_tracking()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match="tracking"):
        tracking.check_tracking()
