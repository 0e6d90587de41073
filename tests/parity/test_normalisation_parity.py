"""The normaliser inside a stream: the same bytes in any pieces, across restarts and gaps."""

import numpy as np
import pytest

from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays, bar_arrays
from data_pipeline.synthetic import synthetic_market
from features import normalisation
from features.bars.catalogue import BAR_FIELDS
from features.batch import compute_features
from features.config import NormaliserConfig
from features.normalisation import CHUNK, Normaliser
from features.stream import FeatureStream

CONFIG = NormaliserConfig(half_life_rows=300, min_rows=40, clip=5.0)
ROBUST = NormaliserConfig(half_life_rows=300, min_rows=40, clip=5.0, outlier_sd=3.0)


@pytest.fixture(scope="module")
def bars() -> BarArrays:
    """Three stretches: one long, one that ends before it is warm, one more."""
    table = bar_arrays(synthetic_market(SyntheticConfig(bars=3_000, seed=6)).bars)
    keep = np.ones(3_000, dtype=bool)
    keep[[1_200, 1_230]] = False
    return BarArrays(**{name: np.ascontiguousarray(getattr(table, name)[keep]) for name in BarArrays.__slots__})


@pytest.mark.parametrize("config", [CONFIG, ROBUST])
@pytest.mark.parametrize("columns", [1, 3, 11])
def test_a_block_cut_anywhere_gives_the_same_bytes(config: NormaliserConfig, columns: int) -> None:
    rng = np.random.default_rng(columns)
    X = rng.standard_normal((columns, 2 * CHUNK + 77))
    X[:, 700:760] = np.nan
    whole = X.copy()
    once = Normaliser(config, columns)
    once.apply(whole, 0, X.shape[1])
    for pieces in ([1] * X.shape[1], [CHUNK - 1, 2, CHUNK, 76], [7] * 157 + [2], [0, X.shape[1]]):
        assert sum(pieces) == X.shape[1]
        block, other = X.copy(), Normaliser(config, columns)
        first = 0
        for rows in pieces:
            other.apply(block, first, rows)
            first += rows
        assert block.tobytes() == whole.tobytes()
        assert other.state.tobytes() == once.state.tobytes()


@pytest.mark.parametrize("config", [CONFIG, ROBUST])
def test_batch_pieces_single_bars_and_a_restart_agree(bars: BarArrays, config: NormaliserConfig) -> None:
    whole = compute_features(bars, normaliser=config)
    raw = compute_features(bars)
    assert np.isfinite(whole).all(axis=1).sum() == np.isfinite(raw).all(axis=1).sum() - config.min_rows + 1
    rows = np.stack([getattr(bars, name) for name in BAR_FIELDS], axis=1)
    stream = FeatureStream(normaliser=config)
    single = []
    for t, (time, row) in enumerate(zip(bars.open_time_ms.tolist(), rows, strict=True)):
        if t % 97 == 0:
            stream = FeatureStream.from_state(stream.state_bytes())
        single.append(stream.update(time, row))
        assert stream.warm == np.isfinite(single[-1]).all()
    assert np.stack(single).tobytes() == whole.tobytes()
    stream = FeatureStream(normaliser=config)
    pieces = [stream.update_many(bars.slice(a, b)) for a, b in ((0, 999), (999, 1_000), (1_000, len(bars)))]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_statistics_survive_a_gap(bars: BarArrays) -> None:
    """After the gap values appear with the features' own warm-up, not `min_rows` later."""
    raw, ours = compute_features(bars), compute_features(bars, normaliser=CONFIG)
    after = np.arange(len(bars)) > 1_200
    np.testing.assert_array_equal(np.isnan(ours[after]), np.isnan(raw[after]))
    filled = np.flatnonzero(np.isfinite(raw).all(axis=1))
    joined = np.ascontiguousarray(raw[filled].T)  # as if there had never been a gap or a warm-up
    Normaliser(CONFIG, raw.shape[1]).apply(joined, 0, len(filled))
    np.testing.assert_array_equal(ours[filled], joined.T)


def test_a_state_of_other_settings_or_another_version_is_refused(
    bars: BarArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = FeatureStream(["candle"], normaliser=CONFIG)
    stream.update_many(bars.slice(0, 100))
    saved = stream.state_bytes()
    again = FeatureStream.from_state(saved)
    assert again.update_many(bars.slice(100, 200)).tobytes() == stream.update_many(bars.slice(100, 200)).tobytes()
    with pytest.raises(InputError, match="bytes of state"):
        FeatureStream.from_state(saved[:-8])
    with pytest.raises(InputError, match="half_life"):
        FeatureStream.from_state(saved.replace(b"half_life_rows", b"half_life_years"))
    monkeypatch.setattr("features.stream.NORMALISER_FINGERPRINT", normalisation.NORMALISER_FINGERPRINT + 1)
    with pytest.raises(InputError, match="another version of the normaliser"):
        FeatureStream.from_state(saved)
