"""One step function for trades, the same bytes: whole tape, any pieces, one trade at a time, and across a restart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from features.batch import compute_features
from features.catalogue import KINDS, feature_names
from features.config import TradeParameters
from features.events import Events
from features.stream import FeatureStream
from features.trades.kernel import KERNEL
from tests.trade_tools import RECORDED, recorded_trades, synthetic_trades

FIELDS = KINDS["trades"].fields
QUICK = TradeParameters(short=8, long=30, sign_lags=(1, 5), count_bins=5, vpin_trades=3, vpin_buckets=4)


def one_by_one(stream: FeatureStream, trades: Events) -> np.ndarray:
    rows = np.stack([getattr(trades, name) for name in FIELDS], axis=1)
    return np.stack([stream.update(int(t), row) for t, row in zip(trades.time_ns, rows, strict=True)])


def bytes_of(X: np.ndarray) -> bytes:
    """Row by row, whatever the layout in memory."""
    return np.ascontiguousarray(X).tobytes()


@pytest.mark.parametrize("parameters", [TradeParameters(), QUICK], ids=["default", "quick"])
def test_one_trade_at_a_time_gives_the_bytes_of_the_batch(parameters: TradeParameters) -> None:
    trades = synthetic_trades(3_000, seed=3)
    X = compute_features(trades, parameters=parameters, kind="trades")
    assert np.isfinite(X).any()
    assert bytes_of(one_by_one(FeatureStream(None, parameters, "trades"), trades)) == bytes_of(X)


@given(st.lists(st.integers(0, 900), max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_any_cuts_with_a_restart_at_each_give_the_bytes_of_the_batch(cuts: list[int], seed: int) -> None:
    trades = synthetic_trades(900, seed)
    stream = FeatureStream(None, QUICK, "trades")
    pieces = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 900], strict=True):
        stream = FeatureStream.from_state(stream.state_bytes())
        pieces.append(stream.update_many(trades.slice(start, stop)))
    assert bytes_of(np.concatenate(pieces)) == bytes_of(compute_features(trades, None, QUICK, "trades"))


def test_selected_columns_are_the_bytes_of_all_columns_but_warm_up_sooner() -> None:
    trades = synthetic_trades(1_500, seed=6)
    names = ("vpin", "trade_flow_50", "tick_momentum_50")
    X = compute_features(trades, names, kind="trades")
    everything = compute_features(trades, kind="trades")
    order = feature_names(None, None, "trades")
    columns = everything[:, [order.index(name) for name in names]]
    warm = np.isfinite(everything).all(axis=1)
    assert bytes_of(X[warm]) == bytes_of(columns[warm])
    assert np.isfinite(X[:, 0]).sum() > warm.sum()


def test_a_silence_resets_everything() -> None:
    """Rows after it are those of a tape that begins there; a silence of exactly the limit is none."""
    trades = synthetic_trades(2_000, seed=7, silences=1)
    (start,) = np.flatnonzero(np.diff(trades.time_ns) > 60_000 * 1_000_000) + 1
    X = compute_features(trades, None, QUICK, "trades")
    assert bytes_of(X[start:]) == bytes_of(compute_features(trades.slice(start, 2_000), None, QUICK, "trades"))
    assert np.isnan(X[start]).all()
    shift = np.where(np.arange(2_000) >= start, trades.time_ns[start] - trades.time_ns[start - 1] - 60_000_000_000, 0)
    bridged = compute_features(
        Events(trades.time_ns - shift, trades.local_time_ns, trades.columns), None, QUICK, "trades"
    )
    assert np.isfinite(bridged[start]).all()


def test_the_future_changes_nothing_before_it() -> None:
    trades = synthetic_trades(1_200, seed=11)
    cut = 800
    other = synthetic_trades(1_200, seed=12)
    mixed = {name: np.concatenate((trades.columns[name][:cut], other.columns[name][cut:])) for name in FIELDS}
    X = compute_features(trades, None, QUICK, "trades")
    Y = compute_features(Events(trades.time_ns, trades.local_time_ns, mixed), None, QUICK, "trades")
    assert bytes_of(X[:cut]) == bytes_of(Y[:cut])
    assert bytes_of(X[cut:]) != bytes_of(Y[cut:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": -1}, "comes before the last one"),
        ({"price": 0.0}, "price is 0.0"),
        ({"price": float("nan")}, "price is nan"),
        ({"price": float("inf")}, "price is inf"),
        ({"qty": -1.0}, "qty is -1.0"),
        ({"qty": float("nan")}, "qty is nan"),
        ({"buyer_is_maker": 0.5}, "buyer_is_maker is 0.5"),
        ({"buyer_is_maker": float("nan")}, "buyer_is_maker is nan"),
    ],
)
def test_a_bad_trade_is_refused_and_leaves_no_trace(change: dict[str, float], message: str) -> None:
    trades = synthetic_trades(100, seed=1, silences=0)
    stream = FeatureStream(None, QUICK, "trades")
    stream.update_many(trades)
    before = stream.state_bytes()
    row = {name: float(trades.columns[name][-1]) for name in FIELDS} | change
    time_ns = int(trades.time_ns[-1]) + int(row.pop("time", 0))
    with pytest.raises(InputError, match=message):
        stream.update(time_ns, list(row.values()))
    assert stream.state_bytes() == before
    stream.update(int(trades.time_ns[-1]), [1.0, 0.0, 1.0])


@pytest.mark.parametrize("contract", RECORDED)
def test_parity_on_recorded_trades(contract: str) -> None:
    trades = recorded_trades(contract).slice(0, 4_000)
    X = compute_features(trades, kind="trades")
    assert np.isfinite(X).any()
    assert bytes_of(one_by_one(FeatureStream(kind="trades"), trades)) == bytes_of(X)
    assert len(KERNEL.advance.signatures) == 1
