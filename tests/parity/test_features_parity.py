"""One step function, the same bytes: whole history, pieces, one bar at a time, and across a restart."""

import ast
import json
import os
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import features
from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.readers import read_bars
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.bars.catalogue import BAR_FIELDS
from features.batch import available_features, compute_features
from features.catalogue import KINDS, feature_names
from features.config import BarParameters
from features.kernel import load_kernel
from features.stream import CHUNK_ROWS, STATE_MAGIC, FeatureStream
from tests.feature_tools import QUICK, QUICK_WARMUP

WARMUP = QUICK_WARMUP


def with_gaps(bars: BarArrays) -> BarArrays:
    """Drop some bars, so that stretches longer and shorter than the warm-up remain."""
    rng = np.random.default_rng(3)
    keep = np.ones(len(bars), dtype=bool)
    keep[rng.choice(len(bars), len(bars) // 200, replace=False)] = False
    keep[1_000:1_090] = False
    return BarArrays(**{name: np.ascontiguousarray(getattr(bars, name)[keep]) for name in BarArrays.__slots__})


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    return with_gaps(bar_arrays(synthetic_market(SyntheticConfig(bars=12_000, seed=2)).bars))


@pytest.fixture(scope="module")
def whole(bars: BarArrays) -> np.ndarray:
    return compute_features(bars, None, QUICK)


def rows_of(bars: BarArrays) -> np.ndarray:
    return np.stack([getattr(bars, name) for name in BAR_FIELDS], axis=1)


def stream_one_by_one(stream: FeatureStream, bars: BarArrays) -> np.ndarray:
    rows = rows_of(bars)
    return np.stack([stream.update(int(t), row) for t, row in zip(bars.open_time_ms, rows, strict=True)])


def test_one_bar_at_a_time_gives_the_bytes_of_the_batch(bars: BarArrays, whole: np.ndarray) -> None:
    assert np.isfinite(whole).any()
    assert stream_one_by_one(FeatureStream(None, QUICK), bars).tobytes() == whole.tobytes()


def test_pieces_with_saved_and_restored_state_give_the_bytes_of_the_batch(bars: BarArrays, whole: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    cuts = [0, 1, 30, 61, *sorted(rng.choice(np.arange(62, len(bars)), 20, replace=False).tolist()), len(bars)]
    stream = FeatureStream(None, QUICK)
    pieces = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        stream = FeatureStream.from_state(stream.state_bytes())
        piece = bars.slice(start, stop)
        short = number % 2 == 1 and stop - start < 2_000
        pieces.append(stream_one_by_one(stream, piece) if short else stream.update_many(piece))
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_batches_longer_than_a_chunk_give_the_same_bytes() -> None:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=CHUNK_ROWS + 500)).bars)
    stream = FeatureStream(None, QUICK)
    pieces = [stream.update_many(bars.slice(0, 777)), stream.update_many(bars.slice(777, len(bars)))]
    assert np.concatenate(pieces).tobytes() == compute_features(bars, None, QUICK).tobytes()


def test_a_restart_in_another_process_goes_on_with_the_same_bytes(
    bars: BarArrays, whole: np.ndarray, tmp_path: Path
) -> None:
    stop, more = 5_000, 200
    stream = FeatureStream(None, QUICK)
    stream.update_many(bars.slice(0, stop))
    (tmp_path / "state").write_bytes(stream.state_bytes())
    np.save(tmp_path / "times.npy", bars.open_time_ms[stop : stop + more])
    np.save(tmp_path / "rows.npy", rows_of(bars)[stop : stop + more])
    program = (
        "import sys, numpy as np, pathlib; from features.stream import FeatureStream; d = pathlib.Path(sys.argv[1]);"
        "s = FeatureStream.from_state((d / 'state').read_bytes());"
        "out = [s.update(int(t), r) for t, r in zip(np.load(d / 'times.npy'), np.load(d / 'rows.npy'))];"
        "(d / 'out').write_bytes(np.stack(out).tobytes())"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "out").read_bytes() == whole[stop : stop + more].tobytes()


def test_a_gap_resets_everything(bars: BarArrays, whole: np.ndarray) -> None:
    """Rows after a gap are those of a history that begins there, and NaN in every column through the warm-up."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(bars.open_time_ms) != 60_000) + 1, [len(bars)]))
    lengths = np.diff(starts)
    assert (lengths <= WARMUP).any()
    assert (lengths > WARMUP).any()
    for start, stop in pairwise(starts):
        assert np.isnan(whole[start : min(start + WARMUP, stop)]).all()
        assert np.isfinite(whole[start + WARMUP : stop]).all()
        assert compute_features(bars.slice(start, stop), None, QUICK).tobytes() == whole[start:stop].tobytes()


def test_selected_columns_are_the_bytes_of_all_columns(bars: BarArrays, whole: np.ndarray) -> None:
    names = ("kyle_lambda_60", "return_1", "body")
    order = feature_names(None, QUICK)
    X = compute_features(bars, names, QUICK)
    rows = np.isfinite(whole).all(axis=1)
    assert X[rows].tobytes() == np.ascontiguousarray(whole[np.ix_(rows, [order.index(n) for n in names])]).tobytes()


def test_the_warmup_is_that_of_the_selected_columns() -> None:
    stretch = bar_arrays(synthetic_market(SyntheticConfig(bars=100)).bars)
    for names, warmup in ((["body"], 0), (["body", "cumulative_delta_15"], 14), (["volume_zscore_60", "body"], 59)):
        X = compute_features(stretch, names)
        assert np.isnan(X[:warmup]).all()
        assert np.isfinite(X[warmup:]).all()
        assert FeatureStream(names).warmup == warmup


def test_read_only_and_strided_input_runs_the_one_compiled_function(bars: BarArrays, whole: np.ndarray) -> None:
    def awkward(values: np.ndarray) -> np.ndarray:
        wide = np.repeat(values, 2)[::2]
        wide.flags.writeable = False
        return wide

    again = BarArrays(**{name: awkward(getattr(bars, name)) for name in BarArrays.__slots__})
    assert compute_features(again, None, QUICK).tobytes() == whole.tobytes()
    FeatureStream(None, QUICK).update(int(bars.open_time_ms[0]), tuple(rows_of(bars)[0].tolist()))
    assert len(load_kernel("bars").advance.signatures) == 1


def test_interval_and_windows_travel_with_the_state() -> None:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=600)).bars)
    slow = BarArrays(bars.open_time_ms * 5, *[getattr(bars, name) for name in BarArrays.__slots__[1:]])
    parameters = BarParameters(interval_ms=300_000, horizons=(1, 4), short=10, long=40, other_aggregations=(2,))
    names = ("return_4", "ma_zscore_40")
    expected = compute_features(slow, names, parameters)
    stream = FeatureStream(names, parameters)
    head = stream.update_many(slow.slice(0, 300))
    stream = FeatureStream.from_state(stream.state_bytes())
    assert (stream.names, stream.parameters) == (names, parameters)
    assert np.concatenate((head, stream.update_many(slow.slice(300, 600)))).tobytes() == expected.tobytes()
    assert np.isnan(expected[:40]).all()
    assert np.isfinite(expected[40:]).all()


def test_stream_says_where_it_stands() -> None:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=WARMUP + 1)).bars)
    stream = FeatureStream(None, QUICK)
    assert not stream.warm
    assert stream.last_time is None
    rows = rows_of(bars)
    for t in range(WARMUP + 1):
        stream.update(int(bars.open_time_ms[t]), rows[t])
        assert stream.warm == (t == WARMUP)
        assert stream.last_time == bars.open_time_ms[t]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 0}, "not later than the last one"),
        ({"time": -60_000}, "not later than the last one"),
        ({"close": float("nan")}, "close is nan"),
        ({"volume": -1.0}, "volume is -1.0"),
        ({"open": float("inf")}, "open is inf"),
        ({"low": 0.0}, "are not a bar"),
        ({"high": 1e-9}, "are not a bar"),
        ({"trades": float("nan")}, "trades is nan"),
        ({"taker_buy_volume": -3.0}, "taker_buy_volume is -3.0"),
    ],
)
def test_a_bad_bar_is_refused_and_leaves_no_trace(bars: BarArrays, change: dict[str, float], message: str) -> None:
    stream = FeatureStream(None, QUICK)
    stream.update_many(bars.slice(0, 100))
    before = stream.state_bytes()
    time_ms = int(bars.open_time_ms[100])
    row = dict(zip(BAR_FIELDS, rows_of(bars)[100].tolist(), strict=True))
    if "time" in change:
        time_ms = int(bars.open_time_ms[99]) + int(change["time"])
    else:
        row.update(change)
    with pytest.raises(InputError, match=message) as error:
        stream.update(time_ms, list(row.values()))
    assert "\n" not in str(error.value)
    assert stream.state_bytes() == before


def test_a_bad_row_of_a_batch_is_named(bars: BarArrays) -> None:
    broken = rows_of(bars)
    broken[CHUNK_ROWS // 2, BAR_FIELDS.index("high")] = np.nan
    with pytest.raises(InputError, match=rf"bars, row {CHUNK_ROWS // 2} \(20.*high is nan"):
        compute_features(BarArrays(bars.open_time_ms, *[np.ascontiguousarray(c) for c in broken.T]), names=["body"])
    with pytest.raises(InputError, match=r"row 1 .*not later"):
        compute_features(BarArrays(bars.open_time_ms[::-1], *[np.ascontiguousarray(c) for c in rows_of(bars).T]))


def test_bars_without_optional_fields_lose_the_features_that_need_them(bars: BarArrays) -> None:
    unknown = np.full(len(bars), np.nan)
    plain = BarArrays(bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, *[unknown] * 4)
    names = available_features(plain, None, QUICK)
    assert set(feature_names(["core"])) - set(names) == {
        "taker_imbalance",
        "taker_imbalance_ema_5",
        "taker_imbalance_ema_30",
        "cumulative_delta_15",
        "cumulative_delta_60",
        "delta_price_divergence_15",
        "kyle_lambda_60",
        "trade_count_zscore_60",
        "trade_size_zscore_60",
        "vwap_deviation",
        "vwap_deviation_60",
        "amihud_15_60",
    }
    X = compute_features(plain, None, QUICK)
    assert X.shape == (len(bars), len(names))
    order = feature_names(None, QUICK)
    assert (
        X.tobytes()
        == np.ascontiguousarray(compute_features(bars, None, QUICK)[:, [order.index(n) for n in names]]).tobytes()
    )
    with pytest.raises(InputError, match=r"row 0 .*taker_buy_volume is nan"):
        compute_features(plain, names=["taker_imbalance"])
    one_missing = bars.trades.copy()
    one_missing[7] = np.nan
    fields = {name: getattr(bars, name) for name in BarArrays.__slots__} | {"trades": one_missing}
    assert not any(name.startswith("trade_") for name in available_features(BarArrays(**fields)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"something else",
        lambda data: data[:-9],
        lambda data: data.replace(b"return_1", b"return_x", 1),
        lambda data: STATE_MAGIC + json.dumps({"names": ["body"]}).encode() + b"\n",
        lambda data: data[: data.index(b"\n", len(STATE_MAGIC)) + 1] + b"\0" * 8 + data[data.index(b"\n", 15) + 9 :],
    ],
    ids=["other bytes", "cut short", "unknown feature", "half a header", "other version"],
)
def test_a_state_that_is_not_ours_is_refused(bars: BarArrays, damage) -> None:
    stream = FeatureStream(None, QUICK)
    stream.update_many(bars.slice(0, 100))
    with pytest.raises(InputError, match="saved feature state"):
        FeatureStream.from_state(damage(stream.state_bytes()))


def compiled_modules(module: str) -> set[str]:
    """Modules of `features` that `module` takes compiled code from, directly or through others."""
    source = Path(features.__file__).parents[1] / (module.replace(".", "/") + ".py")
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("features."):
            imported = import_module(node.module or "")
            if any(isinstance(getattr(imported, name.name), Dispatcher) for name in node.names):
                found |= {imported.__name__} | compiled_modules(imported.__name__)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_of_a_kernel_covers_every_module_that_is_compiled_into_it(kind: str) -> None:
    package = Path(features.__file__).parent / kind
    used = set().union(*(compiled_modules(f"features.{kind}.{path.stem}") for path in package.glob("*.py")))
    shared = {name for name in used if not name.startswith(f"features.{kind}.")}
    sources = import_module(f"features.{kind}.kernel").SOURCES
    assert shared <= {"features." + name.removesuffix(".py").replace("/", ".") for name in sources}


def test_an_edit_of_a_source_in_another_package_misses_the_compiled_cache(tmp_path: Path) -> None:
    """numba's own cache would go on running the old code when a module other than the kernel's changes."""
    root = Path(__file__).parents[2]
    for package in ("features", *(f"features/{kind}" for kind in KINDS), "data_pipeline"):
        (tmp_path / package).mkdir()
        for source in (root / package).glob("*.py"):
            (tmp_path / package / source.name).write_bytes(source.read_bytes())
    program = (
        "import math; from features.stream import FeatureStream; stream = FeatureStream(kind='tape');"
        "stream.update(1, (99.0, 101.0, math.nan, math.nan, math.nan));"
        "print(stream.update(2, (math.nan, math.nan, 101.0, 1.0, 0.0))[1])"
    )

    def run() -> float:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        return float(done.stdout)

    assert run() == pytest.approx(200.0)
    shared = tmp_path / "features" / "quotes" / "touch.py"
    edited = shared.read_text().replace("return a / b if b > 0.0 else 0.0", "return 42.0")
    assert edited != shared.read_text()
    shared.write_text(edited)
    assert run() == 42.0


@pytest.mark.parametrize("file", ["binance_um_FILUSDT_1m_2023-2024_14months", "bitfinex_BTCUSD_1m_2017_2018"])
def test_parity_on_real_bars_with_real_gaps(file: str) -> None:
    root = os.environ.get("SCALPING_REAL_DATA")
    if not root:
        pytest.skip("SCALPING_REAL_DATA is not set")
    bars = bar_arrays(read_bars(Path(root) / "klines" / f"{file}.parquet")).slice(30_000, 60_000)
    names = available_features(bars, None, QUICK)
    assert (
        stream_one_by_one(FeatureStream(names, QUICK), bars).tobytes() == compute_features(bars, None, QUICK).tobytes()
    )
