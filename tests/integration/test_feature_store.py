"""The feature store: the bytes of one pass over everything, nothing computed twice, nothing mixed, damage named."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.files import locked
from data_pipeline.store.layout import LOCK_FILE, Series
from features.config import BarParameters
from features.store import manifest as manifest_module
from features.store.build import Request, SeriesReport, build
from features.store.manifest import FRESH, load_manifest
from features.store.reader import FeatureStore
from tests.feature_store_tools import (
    DAY,
    HOUR,
    JANUARY,
    NAMES,
    REQUEST,
    SERIES,
    WINDOWS,
    assert_same_bits,
    expected,
    hourly_bars,
    rows_of,
    source,
    with_one_change,
)

# a gap inside February, one up to the border of March and April, a whole month without bars (May)
SEAMS = ((45, 46), (88, 91), (121, 152))
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04", "2024-06", "2024-07"]
BARS = hourly_bars(missing=SEAMS)


def build_one(root: Path, table: pa.Table = BARS, request: Request = REQUEST) -> SeriesReport:
    return build(root, [source(table)], request)[0]


def files_of(root: Path) -> dict[str, int]:
    """Every Parquet file with the moment it was written."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*.parquet")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("features")
    report = build_one(root)
    assert list(report.built) == MONTHS
    assert report.rows == BARS.num_rows
    return root


def test_rows_are_the_bytes_of_one_pass_across_months_and_gaps(store: Path) -> None:
    assert_same_bits(rows_of(store), expected(BARS))
    parts = load_manifest(store, SERIES, FeatureStore(store, interval="1h").sets("BTCUSDT")[0].key).in_order()
    assert [part.month for part in parts] == MONTHS
    assert [part.state_in == FRESH for part in parts] == [True, False, False, True, True, False]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_range_and_columns_are_those_of_one_pass(store: Path, data: st.DataObject) -> None:
    low = data.draw(st.integers(JANUARY - HOUR, JANUARY + 201 * DAY * HOUR))
    stop = data.draw(st.integers(low, JANUARY + 201 * DAY * HOUR))
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    table = FeatureStore(store, interval="1h").read("BTC/USDT", low, stop, names)
    times = BARS["open_time"].cast(pa.int64()).to_numpy()
    first, last = np.searchsorted(times, [low, stop])
    assert table.column_names == ["open_time", *names]
    assert table["open_time"].cast(pa.int64()).to_pylist() == times[first:last].tolist()
    whole = expected(BARS)
    for name in names:
        assert table[name].to_numpy().tobytes() == whole[first:last, NAMES.index(name)].tobytes()


def test_a_second_build_computes_nothing(store: Path) -> None:
    before = files_of(store)
    report = build_one(store)
    assert (report.built, report.kept, report.removed) == ({}, len(MONTHS), [])
    assert files_of(store) == before


def test_new_bars_cost_only_their_months(tmp_path: Path) -> None:
    short = BARS.slice(0, 2500)  # ends inside April
    build_one(tmp_path, short)
    before = files_of(tmp_path)
    report = build_one(tmp_path)
    assert report.built == {"2024-04": "made from other bars", "2024-06": "new", "2024-07": "new"}
    assert report.kept == 3
    after = files_of(tmp_path)
    kept = [path for path in before if "month=2024-04" not in path]
    assert {path: before[path] for path in kept} == {path: after[path] for path in kept}
    assert len(after) == len(MONTHS)
    assert_same_bits(rows_of(tmp_path), expected(BARS))


def test_changed_bars_rebuild_what_depends_on_them_up_to_the_next_gap(tmp_path: Path) -> None:
    build_one(tmp_path)
    changed = with_one_change(BARS, 1700)  # in March; April begins behind a gap
    report = build_one(tmp_path, changed)
    assert report.built == {"2024-03": "made from other bars"}
    changed = with_one_change(BARS, 1400)  # late February, behind its gap: its averages live on in March
    report = build_one(tmp_path, changed)
    assert report.built == dict.fromkeys(("2024-02", "2024-03"), "made from other bars")
    assert_same_bits(rows_of(tmp_path), expected(changed))
    assert len(files_of(tmp_path)) == len(MONTHS)


def test_a_source_that_ends_earlier_leaves_what_is_behind_it(tmp_path: Path) -> None:
    build_one(tmp_path)
    report = build_one(tmp_path, BARS.slice(0, 31 * DAY))
    assert (report.built, report.kept, report.removed) == ({}, 1, [])
    report = build_one(tmp_path, BARS.slice(0, 20 * DAY))  # January is cut: February went on where it ended
    assert report.removed == ["2024-02", "2024-03", "2024-04", "2024-06", "2024-07"]
    assert_same_bits(rows_of(tmp_path), expected(BARS.slice(0, 20 * DAY)))


def test_months_without_bars_between_others_go(tmp_path: Path) -> None:
    build_one(tmp_path)
    fewer = hourly_bars(missing=(*SEAMS, (60, 91)))  # March is gone
    report = build_one(tmp_path, fewer)
    assert report.removed == ["2024-03"]
    assert_same_bits(rows_of(tmp_path), expected(fewer))


@pytest.mark.parametrize(
    "change",
    [
        {"names": NAMES[:3]},
        {"parameters": replace(WINDOWS, fast_span=4)},
        {"precision": "float32"},
    ],
)
def test_whatever_changes_a_byte_has_a_set_of_its_own(store: Path, tmp_path: Path, change: dict) -> None:
    request = replace(REQUEST, **change)
    one = build_one(tmp_path)
    other = build_one(tmp_path, request=request)
    assert other.features.key != one.features.key
    assert list(other.built) == MONTHS
    assert_same_bits(rows_of(tmp_path, key=one.features.key), expected(BARS))
    with pytest.raises(InputError, match=f"several sets: .*{one.features.key}.*; name one by its key"):
        rows_of(tmp_path)


def test_the_order_of_selecting_and_naming_a_family_make_no_new_set(tmp_path: Path) -> None:
    one = build_one(tmp_path, request=replace(REQUEST, names=("body", "range")))
    again = build_one(tmp_path, request=replace(REQUEST, names=("range", "body")))
    assert one.features == again.features
    assert again.kept == len(MONTHS)


def test_a_later_start_is_another_set(tmp_path: Path) -> None:
    one = build_one(tmp_path)
    later = build_one(tmp_path, BARS.slice(100))
    assert later.features.key != one.features.key
    assert_same_bits(rows_of(tmp_path, key=later.features.key), expected(BARS.slice(100)))


def test_float32_is_each_value_rounded_once(tmp_path: Path) -> None:
    build_one(tmp_path, request=replace(REQUEST, precision="float32"))
    found = rows_of(tmp_path)
    assert found.dtype == np.float32
    assert_same_bits(found, expected(BARS).astype(np.float32))


def test_features_that_the_bars_cannot_give_are_left_out_or_refused(tmp_path: Path) -> None:
    column = BARS.column_names.index("trades")
    holes = BARS.set_column(column, BARS.field("trades"), pa.array([None, *BARS["trades"].to_pylist()[1:]], pa.int32()))
    report = build_one(tmp_path, holes, replace(REQUEST, names=None))
    assert "body" in report.features.names
    assert "trade_count_zscore_60" not in report.features.names
    with pytest.raises(InputError, match="trade_count_zscore_60 needs trades, which these bars do not have"):
        build_one(tmp_path, holes, replace(REQUEST, names=("body", "trade_count_zscore_60")))


def part_path(root: Path, month: str, suffix: str) -> Path:
    (path,) = root.rglob(f"month={month}/*.{suffix}")
    return path


@pytest.mark.parametrize("suffix", ["parquet", "state"])
@pytest.mark.parametrize("harm", ["altered", "deleted"])
def test_damage_is_named_refused_and_rebuilt(tmp_path: Path, suffix: str, harm: str) -> None:
    build_one(tmp_path)
    path = part_path(tmp_path, "2024-03", suffix)
    if harm == "deleted":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    if suffix == "parquet":
        with pytest.raises(InputError, match=r"month=2024-03/.*(is gone|not what was written).*build_features"):
            rows_of(tmp_path)
    report = build_one(tmp_path)
    assert list(report.built) == ["2024-03"]
    assert report.built["2024-03"] == f"{path.relative_to(tmp_path)} was {harm}"
    assert_same_bits(rows_of(tmp_path), expected(BARS))


def test_months_of_different_passes_are_never_read_as_one(tmp_path: Path) -> None:
    build_one(tmp_path)
    (old,) = (tmp_path / SERIES.folder()).glob(f"set=*/{manifest_module.MANIFEST}")
    text = old.read_text()
    january = load_manifest(tmp_path, SERIES, old.parent.name[4:]).parts["2024-01"]
    changed = tmp_path / "changed"
    build_one(changed, with_one_change(BARS, 700))  # the end of January
    other = load_manifest(changed, SERIES, old.parent.name[4:]).parts["2024-01"]
    assert other.state_out != january.state_out
    for was, now in ((january.address, other.address), (january.state_out, other.state_out)):
        text = text.replace(was, now, 1)
    old.write_text(text)
    with pytest.raises(InputError, match="2024-02 was not made to go on where 2024-01 ends"):
        FeatureStore(tmp_path, interval="1h").read("BTCUSDT")
    assert FeatureStore(tmp_path, interval="1h").read("BTCUSDT", "2024-02-01").num_rows > 0


def test_what_is_wrong_with_a_question_is_said(store: Path, tmp_path: Path) -> None:
    reader = FeatureStore(store, interval="1h")
    with pytest.raises(InputError, match="feature 'return_2' is not in the set; did you mean return_1"):
        reader.read("BTCUSDT", names=["return_2"])
    with pytest.raises(InputError, match="no 1h bars of 'ETHUSDT'"):
        reader.read("ETHUSDT")
    with pytest.raises(InputError, match="no set's key begins with 'xyz'"):
        FeatureStore(store, interval="1h", key="xyz").read("BTCUSDT")
    with pytest.raises(InputError, match="swap them"):
        reader.read("BTCUSDT", "2024-03-01", "2024-02-01")
    with pytest.raises(InputError, match="windows are meant for bars of 60000 ms"):
        build_one(tmp_path, request=replace(REQUEST, parameters=BarParameters()))
    with pytest.raises(InputError, match="there are no bars"):
        build_one(tmp_path, BARS.slice(0, 0))
    assert reader.read("BTCUSDT", 0, 1).num_rows == 0


def test_sets_of_another_version_are_read_only_by_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = build_one(tmp_path).features.key
    newer = type("Kernel", (), {"fingerprint": 1})
    monkeypatch.setattr("features.store.reader.load_kernel", lambda kind: newer)
    with pytest.raises(InputError, match=f"made by another version of the features; .*{key}"):
        rows_of(tmp_path)
    assert_same_bits(rows_of(tmp_path, key=key[:6]), expected(BARS))


def test_one_build_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / LOCK_FILE, "build"),
        pytest.raises(InputError, match=rf"another build .process {os.getpid()}."),
    ):
        build_one(tmp_path)


def test_a_series_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    eth = Series("binance_spot", "ETHUSDT", "1h")
    sources = [source(BARS.slice(0, 0)), source(BARS.slice(0, 2000), eth)]
    with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match="BTCUSDT 1h: there are no bars"):
        build(tmp_path, sources, REQUEST, executor=executor)
    assert FeatureStore(tmp_path, interval="1h").read("ETHUSDT").num_rows == 2000
