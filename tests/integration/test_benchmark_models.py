"""The comparison of models from the command line: table, JSON and page; stopped and gone on; real books."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipeline.errors import InputError
from evaluation.comparison_report import shuffled_sentence
from evaluation.comparison_runs import run_set
from evaluation.comparison_sets import Effort, lobster_set, recorded_set, synthetic_set
from evaluation.intervals import student_interval
from scripts.benchmark_models import Args, main, main_cli
from supervised.baselines import CHEAP
from tests.book_tools import RECORDED, real_data
from tests.browser import BROWSER, in_browser, text_of

QUICK = {"days": 3, "epochs": 1, "steps": 12, "folds": 2, "models": ("lstm", "tcn"), "flips": 99}
EFFORT = Effort(epochs=1, folds=2, steps=12)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    assert main(Args(synthetic=("planted_edge",), out=folder, **QUICK)) == 0
    return folder


def test_every_forecaster_is_scored_on_the_same_rows(out):
    found = json.loads((out / "comparison.json").read_text())
    market = found["sets"][0]
    assert market["models"] == ["lstm", "tcn", "ensemble"]
    assert market["baselines"] == ["majority", "persistence", "reversal", "logistic", "lightgbm"]
    for label in market["labels"]:
        names = [score["name"] for score in label["scores"]]
        assert names == [*market["models"], *market["baselines"], "lstm shuffled"]
        assert {score["accuracy"]["n"] for score in label["scores"]} == {label["rows"]}
        assert len(label["contests"]) == 3 * 5 + 1
    assert [cost["model"] for cost in found["costs"]] == ["lstm", "tcn"]
    assert all(device["labels_per_second"] > 0 for cost in found["costs"] for device in cost["devices"])


def test_the_document_tells_the_same_numbers(out):
    label = json.loads((out / "comparison.json").read_text())["sets"][0]["labels"][0]
    table = (out / "comparison.md").read_text()
    assert f"{label['rows']:,} rows" in table
    for score in label["scores"]:
        assert f"| {score['name']} | {100 * score['accuracy']['value']:.1f} % [" in table
    assert table.count("| tcn |") == 2


def test_going_on_takes_what_is_there(out, capsys):
    first = json.loads((out / "comparison.json").read_text())
    stored = {path: path.stat().st_mtime_ns for path in out.rglob("fold_*/*")}
    assert stored
    assert main(Args(synthetic=("planted_edge",), out=out, **QUICK)) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("fold_*/*")} == stored
    assert json.loads((out / "comparison.json").read_text())["sets"] == first["sets"]
    printed = capsys.readouterr().out
    assert "lstm shuffled" in printed
    assert "vs lightgbm" in printed


def test_shuffled_labels_teach_nothing_on_average(tmp_path):
    data = synthetic_set("planted_edge", 5, EFFORT)
    result = run_set(data, ["lstm"], tmp_path, shuffled=["lstm"], shuffles=4, baselines=CHEAP[:1], flips=99)
    assert result.shuffled == tuple(f"lstm shuffled {number}" for number in (1, 2, 3, 4))
    for label in result.labels:
        leads = np.array([contest.lead.value for contest in label.contests if contest.model in result.shuffled])
        ends = student_interval(leads, 0.999)
        assert ends.low < 0.0
        assert "over 4 shuffles" in shuffled_sentence(result, label)


def test_a_folder_of_other_settings_is_refused(out):
    with pytest.raises(InputError, match="other data or settings"):
        main(Args(synthetic=("planted_edge",), out=out, seed=1, **QUICK))


def test_stopped_in_the_middle_it_ends_as_it_would_have(tmp_path):
    data = synthetic_set("no_edge", 3, EFFORT)

    @contextmanager
    def pulled_plug(name):
        def tell(done, _figure):
            if name == "lstm" and done > 0.5:
                raise KeyboardInterrupt

        yield tell

    with pytest.raises(KeyboardInterrupt):
        run_set(data, ["lstm"], tmp_path / "stopped", stage=pulled_plug)
    assert (tmp_path / "stopped" / data.slug / "lstm" / "fold_0").exists()
    again, whole = (run_set(data, ["lstm"], tmp_path / name, flips=99) for name in ("stopped", "whole"))
    for one, other in zip(again.labels, whole.labels, strict=True):
        assert one.score("lstm").log_loss == other.score("lstm").log_loss


@pytest.mark.skipif(BROWSER is None, reason="no browser")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_reads(out, tmp_path, width):
    page = (out / "comparison.html").read_text()
    found = in_browser(page, width, tmp_path)
    assert found["errors"] == []
    assert found["needed"] <= found["width"]
    text = text_of(page)
    for words in ("synthetic planted_edge", "Lead over each baseline", "lstm shuffled", "How to read it"):
        assert words in text
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_unusable_input_is_said_in_a_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        main(Args(lobster=(tmp_path / "none.parquet",), out=tmp_path))
    with pytest.raises(InputError, match=r"ends in \.l10\.parquet"):
        main(Args(books=(tmp_path / "none.parquet",), out=tmp_path))
    with pytest.raises(InputError, match="folds 0 is below 1"):
        main(Args(folds=0, out=tmp_path))


def test_the_command_line_ends_with_two_on_bad_input(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark_models", "--lobster", "none.parquet", "--out", str(tmp_path)])
    assert main_cli() == 2
    assert capsys.readouterr().err.startswith("error: none.parquet: it cannot be read")


def test_recorded_books_are_known_when_they_are_used():
    """What comes later changes no row before, and the label is the mid at the row against the mid h rows on."""
    path = real_data() / "micro" / f"{RECORDED['um']}.l10.parquet"
    whole = recorded_set(path, EFFORT)
    quotes = pq.read_table(path.with_name(path.name.replace(".l10.", ".bbo.")))
    local = np.maximum.accumulate(quotes["local_ts_ns"].to_numpy())
    mid = 0.5 * (quotes["bid_px"].to_numpy() + quotes["ask_px"].to_numpy())
    row, ahead = 2000, whole.config.horizons[0]
    times = whole.data.open_time_ms[[row, row + ahead]] * 1_000_000
    now, then = mid[np.searchsorted(local, times, side="right") - 1]
    assert whole.data.y[row, 0] == pytest.approx(1e4 * np.log(then / now), abs=1e-4)
    assert whole.labels == ("1 s ahead", "2 s ahead", "5 s ahead", "10 s ahead")
    assert (np.diff(whole.data.open_time_ms) == 100).all()


def test_a_truncated_lobster_day_has_the_same_rows(tmp_path):
    path = real_data() / "lobster" / "lobster_GOOG_2012-06-21_L10.parquet"
    table = pq.read_table(path)
    sets = []
    for name, events in (("short_GOOG", 12_000), ("long_GOOG", 20_000)):
        pq.write_table(table.slice(0, events), tmp_path / f"{name}.parquet")
        sets.append(lobster_set(tmp_path / f"{name}.parquet", EFFORT))
    short, long = sets
    rows = len(short.data.X) - 1  # the last millisecond may not be complete
    assert np.array_equal(short.data.X[:rows], long.data.X[:rows], equal_nan=True)
    known = np.isfinite(short.data.y[:rows])
    assert np.array_equal(short.data.y[:rows][known], long.data.y[:rows][known])
    assert short.labels[0] == "next mid move"
    assert (np.diff(long.data.open_time_ms) > 0).all()
