"""What the cross-market features do at the edges: extreme prices and volumes, silence, markets that stand still."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import compute_features
from features.catalogue import feature_names
from features.config import CrossParameters
from features.cross.pairs import PairedBars
from features.stream import FeatureStream
from tests.cross_tools import synthetic_pair

QUICK = CrossParameters(leader="btc", horizons=(1, 4), short=8, long=12)
NAMES = feature_names(None, QUICK, "cross")
WARMUP = FeatureStream(None, QUICK, "cross").warmup
UNBOUNDED = ("btc_return", "btc_residual", "btc_beta", "btc_ratio_zscore")


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-8, 1.0, 1e6]),
    st.sampled_from([0.0, 1e-12, 1e-3, 0.5]),
    st.sampled_from([0.0, 1e-12, 1e-3, 0.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_any_valid_pair_gives_finite_bounded_rows(
    seed: int, price: float, sigma: float, leader_sigma: float, silent: float
) -> None:
    rng = np.random.default_rng(seed)
    moves = [np.exp(np.clip(s * rng.standard_normal(80).cumsum(), -8, 8)) for s in (sigma, leader_sigma)]
    volumes = [np.where(rng.random(80) < silent, 0.0, 10.0 ** rng.integers(-12, 12, 80)) for _ in range(2)]
    pair = PairedBars(
        60_000 * np.arange(80),
        price * moves[0],
        volumes[0],
        volumes[0] * rng.integers(0, 2, 80),
        1e6 * moves[1],
        volumes[1],
        volumes[1] * rng.integers(0, 2, 80),
    )
    X = compute_features(pair, None, QUICK, "cross")[WARMUP:]
    assert np.isfinite(X).all()
    for name, column in zip(NAMES, X.T, strict=True):
        limit = 2.0 if name.startswith(("btc_lead_lag", "btc_taker_gap")) else 1.0
        if not name.startswith(UNBOUNDED):
            assert np.abs(column).max() <= limit + 1e-12, name
    assert np.abs(X[:, NAMES.index("btc_return_1")]).max() <= math.sqrt(12) * (1 + 1e-9)


def test_markets_that_stand_still_give_zeros() -> None:
    still = np.full(60, 0.1)
    pair = PairedBars(60_000 * np.arange(60), still, 0 * still, 0 * still, still, 0 * still, 0 * still)
    assert (compute_features(pair, None, QUICK, "cross")[WARMUP:] == 0.0).all()


def test_units_do_not_matter_and_late_rows_are_those_of_a_fresh_start() -> None:
    """Nothing drifts: 100,000 bars that began with volumes 1e12 times larger leave no trace in later windows."""
    pair = synthetic_pair(100_000, seed=6)
    larger = np.where(np.arange(100_000) < 50_000, 1e12, 1.0)
    volumes = ("volume", "taker_buy_volume", "leader_volume", "leader_taker_buy_volume")
    fields = {name: getattr(pair, name) for name in PairedBars.__slots__}
    fields |= {name: getattr(pair, name) * larger for name in volumes}
    fields |= {"close": pair.close * 1e-6, "leader_close": pair.leader_close * 10.0}
    late = compute_features(PairedBars(**fields), None, QUICK, "cross")[-900:]
    fresh = compute_features(pair.slice(99_000, 100_000), None, QUICK, "cross")[-900:]
    np.testing.assert_allclose(late, fresh, rtol=1e-7, atol=1e-7)
