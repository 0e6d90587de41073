"""The feature page: what it finds where the truth is known, and that it is whole, self-contained and readable."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import bar_arrays
from data_pipeline.synthetic import synthetic_market
from evaluation.feature_report import FeatureReport, render_feature_report
from evaluation.feature_study import FeatureStudy, study_features
from features.batch import compute_features
from features.catalogue import select_features
from scripts import report_features
from tests.browser import BROWSER, in_browser, text_of

DAY = 1440


def study(setting: str, days: int = 14, seed: int = 0, **options: object) -> FeatureStudy:
    bars = bar_arrays(synthetic_market(SyntheticConfig(setting=setting, bars=days * DAY, seed=seed)).bars)
    specs = select_features(["core"])
    names = [spec.name for spec in specs]
    rows = dict(zip(names, compute_features(bars, names).T, strict=True))
    return study_features(bars, rows.__getitem__, specs, symbol="SYN/USDT", **{"flips": 1999, **options})


@pytest.fixture(scope="module")
def planted() -> FeatureReport:
    return FeatureReport(study("planted_edge"), {"bars": "synthetic"}, 10.0, "planted_edge")


@pytest.fixture(scope="module")
def page(planted: FeatureReport) -> str:
    return render_feature_report(planted)


def test_without_an_edge_about_nothing_survives() -> None:
    """Family-wise: with 5 % a run, two finds in six runs would be a rare accident (3 %), three a fault."""
    studies = [study("no_edge", seed=seed) for seed in range(6)]
    assert sum(bool(found.survivors) for found in studies) <= 2
    quiet = next(found for found in studies if not found.survivors)
    report = FeatureReport(quiet, {}, 10.0, "no_edge")
    assert report.sentence.startswith(
        "Nothing survives: none of 38 features ranks the returns over the next 1, 5, 15 or 60"
    )
    assert report.remarks == []
    assert "Nothing survives" in text_of(render_feature_report(report))


def test_the_planted_edge_is_found_where_it_lies(planted: FeatureReport) -> None:
    found = planted.study
    names = [spec.name for spec in found.specs]
    alive = {names[k] for k in found.survivors}
    # the hidden state shows in taker flow, and through the drift it makes in past returns; the clock knows nothing
    assert {"taker_imbalance", "taker_imbalance_ema_5", "cumulative_delta_15", "return_15"} <= alive
    assert not alive & {"time_of_day_sin", "time_of_day_cos", "volume_zscore_60", "trade_size_zscore_60"}
    best = found.best(names.index("taker_imbalance_ema_5"))
    assert best.ic.low > 0.3
    assert best.p_value == pytest.approx(1 / 2000)
    assert best.spread_bps > 20
    assert planted.sentence.startswith(f"{len(alive)} of 38 features rank coming returns better than chance, most")
    assert "more than the 10 bps of a round trip" in planted.remarks[-1]


def test_a_short_history_says_that_nothing_can_be_said() -> None:
    short = FeatureReport(study("planted_edge", days=2), {}, 10.0)
    assert short.study.tests == 0
    assert short.sentence.startswith("Nothing can be said: 4 blocks of 720 bars are too few")
    assert "Nothing can be said" in text_of(render_feature_report(short))


def test_everything_asked_for_is_on_the_page(page: str, planted: FeatureReport) -> None:
    visible = text_of(page)
    assert "SYNTHETIC" in visible
    assert planted.sentence in visible
    for part in (
        "Power",
        "Kinship",
        "Stability",
        "Distributions",
        "Romano & Wolf",
        "Ibragimov",
        "Provenance",
        "synthetic",
    ):
        assert part in visible
    for spec in planted.study.specs:
        assert len(re.findall(rf"\b{spec.name}\b", visible)) >= 4  # power, map, stability, distributions
    assert page.count('class="ci') == 38 * 4
    assert page.count('<svg class="hist"') == 38 * 2


def test_the_page_asks_for_nothing_and_closes_what_it_opens(page: str) -> None:
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert not re.findall(r"url\(|@import|https?://", page)
    for tag in ("table", "section", "details", "svg", "div", "td", "tr"):
        assert len(re.findall(rf"<{tag}\b", page)) == len(re.findall(rf"</{tag}>", page)), tag


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_in_a_browser(page: str, tmp_path: Path, width: int) -> None:
    found = in_browser(page, width, tmp_path, 'inner.getElementById("theme").click();')
    assert found["errors"] == []
    assert found["needed"] <= found["width"] == width


def test_the_study_refuses_what_it_cannot_use() -> None:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=100)).bars)
    specs = select_features(["body"])
    with pytest.raises(InputError, match="nothing to study"):
        study_features(bars, lambda name: np.zeros(100), [], symbol="SYN")
    with pytest.raises(InputError, match="body has 99 rows, the bars 100"):
        study_features(bars, lambda name: np.zeros(99), specs, symbol="SYN")
    with pytest.raises(InputError, match="there are 1 bars"):
        study_features(bars.slice(0, 1), lambda name: np.zeros(1), specs, symbol="SYN")


def test_store_and_memory_give_the_same_page(tmp_path: Path) -> None:
    args = {"synthetic": "planted_edge", "days": 3, "select": ("flow", "candle"), "flips": 99, "horizons": (1, 5)}
    assert report_features.main(report_features.Args(**args, out=tmp_path / "memory.html")) == 0
    store = tmp_path / "store"
    assert report_features.main(report_features.Args(**args, out=tmp_path / "store.html", features=store)) == 0
    assert (tmp_path / "store.html").read_text() == (tmp_path / "memory.html").read_text()
    assert list(store.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--horizons", "0"], "horizons"),
        (["--files", "nowhere.csv"], "no such file"),
        ([], "give either a store or files"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["report_features", *options, "--out", str(tmp_path / "page.html")])
    assert report_features.main_cli() == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
