"""Cross-market features: the same bytes in any pieces, and what gaps, missing leaders and missing fields do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features.batch import available_features, compute_features
from features.catalogue import KINDS, feature_names
from features.config import CrossParameters
from features.cross.kernel import KERNEL
from features.cross.pairs import PairedBars, align_bars
from features.stream import FeatureStream
from tests.cross_tools import recorded_pair, synthetic_pair

FIELDS = KINDS["cross"].fields
QUICK = CrossParameters(leader="btc", horizons=(1, 4), short=8, long=12)
NAMES = feature_names(None, QUICK, "cross")
WARMUP = FeatureStream(None, QUICK, "cross").warmup


def one_by_one(stream: FeatureStream, pair: PairedBars) -> np.ndarray:
    rows = np.stack([getattr(pair, name) for name in FIELDS], axis=1)
    return np.stack([stream.update(int(t), row) for t, row in zip(pair.open_time_ms, rows, strict=True)])


def bytes_of(X: np.ndarray) -> bytes:
    """Row by row, whatever the layout in memory."""
    return np.ascontiguousarray(X).tobytes()


def with_fields(pair: PairedBars, **fields: np.ndarray) -> PairedBars:
    return PairedBars(**{name: getattr(pair, name) for name in PairedBars.__slots__} | fields)


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_any_cuts_with_a_restart_at_each_give_the_bytes_of_the_batch(cuts: list[int], seed: int) -> None:
    pair = synthetic_pair(300, seed, gaps=(50, 60, 200))
    X = compute_features(pair, None, QUICK, "cross")
    stream = FeatureStream(None, QUICK, "cross")
    pieces = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        stream = FeatureStream.from_state(stream.state_bytes())
        assert stream.parameters == QUICK
        pieces.append(stream.update_many(pair.slice(start, stop)))
    assert bytes_of(np.concatenate(pieces)) == bytes_of(X)
    assert bytes_of(one_by_one(FeatureStream(None, QUICK, "cross"), pair)) == bytes_of(X)


def test_a_gap_resets_everything() -> None:
    pair = synthetic_pair(300, seed=3, gaps=(100, 105))
    X = compute_features(pair, None, QUICK, "cross")
    for start, stop in ((0, 100), (100, 105), (105, 300)):
        assert bytes_of(compute_features(pair.slice(start, stop), None, QUICK, "cross")) == bytes_of(X[start:stop])
        assert np.isnan(X[start : min(stop, start + WARMUP)]).all()
        assert np.isfinite(X[start + WARMUP : stop]).all()


def test_a_bar_that_the_leader_lacks_is_a_gap() -> None:
    own, leader = (bar_arrays(synthetic_market(SyntheticConfig(bars=200, seed=seed)).bars) for seed in (1, 2))
    keep = np.arange(200) != 120
    holed = BarArrays(**{name: np.ascontiguousarray(getattr(leader, name)[keep]) for name in BarArrays.__slots__})
    pair = align_bars(own, holed)
    assert len(pair) == 199
    np.testing.assert_array_equal(pair.close, own.close[keep])
    np.testing.assert_array_equal(pair.leader_taker_buy_volume, holed.taker_buy_volume)
    X = compute_features(pair, None, QUICK, "cross")
    assert np.isfinite(X[119]).all()
    assert np.isnan(X[120 : 120 + WARMUP]).all()
    assert np.isfinite(X[120 + WARMUP :]).all()
    assert len(align_bars(own, BarArrays(**{name: getattr(own, name)[:0] for name in BarArrays.__slots__}))) == 0


def test_the_future_changes_nothing_before_it() -> None:
    pair, other = synthetic_pair(200, seed=1), synthetic_pair(200, seed=2)
    mixed = {name: np.concatenate((getattr(pair, name)[:150], getattr(other, name)[150:])) for name in FIELDS}
    X = compute_features(pair, None, QUICK, "cross")
    Y = compute_features(with_fields(pair, **mixed), None, QUICK, "cross")
    assert bytes_of(X[:150]) == bytes_of(Y[:150])
    assert (X[150] != Y[150]).any()


def test_several_leaders_stand_side_by_side() -> None:
    """One instance a leader: the names say whose columns they are."""
    names = [feature_names(None, CrossParameters(leader=leader), "cross") for leader in ("btc", "eth")]
    assert not set(names[0]) & set(names[1])
    assert len(names[0]) == len(names[1]) == 20


def test_sources_without_taker_volumes_lose_the_features_that_need_them() -> None:
    pair = synthetic_pair(100, seed=1)
    unknown = np.full(100, np.nan)
    plain = with_fields(pair, taker_buy_volume=unknown, leader_taker_buy_volume=unknown)
    names = available_features(plain, None, QUICK, "cross")
    lost = {"btc_taker_imbalance", "btc_taker_imbalance_8", "btc_taker_gap_8", "btc_flow_impact_12"}
    assert set(NAMES) - set(names) == lost
    X = compute_features(plain, None, QUICK, "cross")
    assert bytes_of(X) == bytes_of(compute_features(pair, names, QUICK, "cross"))
    half = with_fields(pair, taker_buy_volume=unknown)
    assert set(NAMES) - set(available_features(half, None, QUICK, "cross")) == {"btc_taker_gap_8"}
    with pytest.raises(InputError, match="taker_buy_volume is nan"):
        compute_features(half, ["btc_taker_gap_8"], QUICK, "cross")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 0}, "not later than the last one"),
        ({"close": 0.0}, "are not prices"),
        ({"leader_close": float("nan")}, "leader_close is nan"),
        ({"leader_volume": -1.0}, "leader_volume is -1.0"),
        ({"taker_buy_volume": float("inf")}, "taker_buy_volume is inf"),
    ],
)
def test_a_bad_pair_is_refused_and_leaves_no_trace(change: dict[str, float], message: str) -> None:
    pair = synthetic_pair(60, seed=5)
    stream = FeatureStream(None, QUICK, "cross")
    stream.update_many(pair)
    before = stream.state_bytes()
    row = {name: float(getattr(pair, name)[-1]) for name in FIELDS} | change
    time_ms = int(pair.open_time_ms[-1]) + int(row.pop("time", 60_000))
    with pytest.raises(InputError, match=message):
        stream.update(time_ms, list(row.values()))
    assert stream.state_bytes() == before


def test_parity_on_recorded_bars() -> None:
    pair = recorded_pair("SOLUSDT").slice(25_000, 34_000)
    names = available_features(pair, kind="cross")
    X = compute_features(pair, names, kind="cross")
    assert np.isfinite(X).any()
    assert bytes_of(one_by_one(FeatureStream(names, kind="cross"), pair)) == bytes_of(X)
    assert len(KERNEL.advance.signatures) == 1
