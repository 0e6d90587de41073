"""The catalogue as data: what it promises, how names select, and that the documentation follows it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays
from features.bars.catalogue import BAR_FIELDS, OPTIONAL_FIELDS, bar_catalogue
from features.batch import compute_features
from features.catalogue import KINDS, PRESETS, catalogue, feature_names, select_features
from features.config import BarParameters
from features.document import BEGIN, END, catalogue_table, catalogue_tables, main, with_tables

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_catalogue_entries_are_complete() -> None:
    assert len({spec.name for spec in catalogue()}) == len(catalogue())
    known = {"open_time_ms", *BAR_FIELDS}
    for spec in catalogue():
        assert spec.formula
        assert spec.reference
        assert spec.inputs
        assert set(spec.inputs) <= known
        assert spec.window >= 1
        assert spec.warmup >= 0


def test_bar_fields_are_those_of_the_bars() -> None:
    assert set(BarArrays.__slots__) == {"open_time_ms", *BAR_FIELDS}
    assert set(OPTIONAL_FIELDS) == {"quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"}


def test_windows_change_names_and_warmup_without_editing_code() -> None:
    parameters = BarParameters(horizons=(1, 240), short=20, long=120, aggregation=10, fast_span=3, slow_span=60)
    specs = {spec.name: spec for spec in bar_catalogue(parameters)}
    assert {"return_240", "ma_zscore_120", "variance_ratio_10_120", "taker_imbalance_ema_60"} <= specs.keys()
    assert specs["return_240"].warmup == max(spec.warmup for spec in select_features(["core"], parameters)) == 240


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizons": ()}, "horizons"),
        ({"horizons": (0, 1)}, "horizons"),
        ({"horizons": (5, 5)}, "horizons"),
        ({"short": 7}, "short 7"),
        ({"short": 60}, "short 60 and long 60"),
        ({"aggregation": 1}, "aggregation 1"),
        ({"aggregation": 16}, "aggregation 16"),
        ({"fast_span": 30}, "fast_span 30"),
        ({"day": 1}, "day 1"),
        ({"lags": (5, 2)}, "lags"),
        ({"lags": (2, 16)}, "lags"),
        ({"other_aggregations": ()}, "other_aggregations"),
        ({"other_aggregations": (5,)}, "other_aggregations"),
        ({"other_aggregations": (15, 2)}, "other_aggregations"),
        ({"macd": (26, 12, 9)}, "macd"),
        ({"fraction_orders": (1.0,)}, "fraction_orders"),
        ({"fraction_taps": 1}, "fraction_taps 1"),
        ({"cusum_threshold": 0.0}, "cusum_threshold"),
        ({"word": 6}, "word 6"),
        ({"signs": 65}, "signs 65"),
    ],
)
def test_windows_that_make_no_sense_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BarParameters(**change)


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "no feature is named"), (["body", "bodi"], "'bodi' is unknown"), (["body", "body"], "given twice")],
)
def test_selection_refuses_what_it_cannot_give(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select_features(names)


def test_families_and_presets_select_too() -> None:
    flow = tuple(spec.name for spec in catalogue() if spec.family == "flow")
    assert feature_names(["flow"]) == flow
    assert feature_names([flow[3], "flow", "body"]) == (flow[3], *(n for n in flow if n != flow[3]), "body")
    assert feature_names(["bars"]) == feature_names()
    assert len(feature_names(["core"])) == 38
    assert set(feature_names(["core"])) < set(feature_names(["broad"]))
    assert len(feature_names(["broad"])) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_selects_two_different_things(kind: str) -> None:
    specs = catalogue(kind)
    words = [*{spec.name for spec in specs}, *{spec.family for spec in specs}, *PRESETS.get(kind, {}), kind]
    assert len(set(words)) == len(words)


def test_selection_keeps_the_order_asked_for() -> None:
    assert [spec.name for spec in select_features(["range", "body"])] == ["range", "body"]
    assert tuple(spec.name for spec in select_features(None)) == feature_names()


def test_the_documentation_holds_the_current_table_of_every_kind() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "run: python -m features.document"
    for kind in KINDS:
        table = catalogue_table(kind)
        assert table in page
        assert table.count("\n") == len(catalogue(kind)) + 1


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", encoding="utf-8")
    main(str(page))
    assert page.read_text(encoding="utf-8") == f"above\n{BEGIN}\n{catalogue_tables()}\n{END}\nbelow\n"
    with pytest.raises(InputError, match="marks"):
        with_tables("a page without marks")


def test_listing_the_features_needs_no_compiler() -> None:
    program = "import sys, features.catalogue; sys.exit('numba' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PAGE.parents[1]).returncode == 0


def test_an_empty_history_gives_no_rows() -> None:
    empty = BarArrays(np.empty(0, dtype=np.int64), *[np.empty(0)] * 9)
    assert compute_features(empty).shape == (0, len(catalogue()))
