"""Online normalisation against pandas' exponentially weighted moments and against exact arithmetic."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pandas as pd
import pytest

from data_pipeline.errors import InputError
from features.config import NormaliserConfig
from features.normalisation import CHUNK, Normaliser

getcontext().prec = 50


def normalised(X: np.ndarray, config: NormaliserConfig) -> np.ndarray:
    """Rows X (T, F) through a fresh normaliser in one block."""
    block = np.array(X.T, order="C")  # a copy: it is normalised in place
    Normaliser(config, X.shape[1]).apply(block, 0, len(X))
    return block.T


def slow(values: list[float], config: NormaliserConfig) -> list[float]:
    """One column by the definition, in decimals of 50 digits: weighted mean and variance of everything so far."""
    decay = Decimal(0.5 ** (1 / config.half_life_rows))
    entered: list[Decimal] = []
    mean = variance = Decimal(0)
    out = []
    for value in values:
        if math.isnan(value):
            out.append(math.nan)
            continue
        exact = entering = Decimal(value)
        weight = sum(decay**k for k in range(len(entered) + 1))
        if variance.sqrt() > Decimal(2) ** -46 * weight * abs(mean) and config.outlier_sd < math.inf:
            limit = Decimal(config.outlier_sd) * variance.sqrt()
            entering = min(max(exact, mean - limit), mean + limit)
        entered.append(entering)
        weights = [decay ** (len(entered) - 1 - k) for k in range(len(entered))]
        pairs = list(zip(weights, entered, strict=True))
        mean = sum(w * x for w, x in pairs) / sum(weights)
        variance = sum(w * (x - mean) ** 2 for w, x in pairs) / sum(weights)
        score = float((exact - mean) / variance.sqrt()) if variance > 0 else 0.0
        out.append(max(-config.clip, min(config.clip, score)) if len(entered) >= config.min_rows else math.nan)
    return out


@pytest.mark.parametrize("half_life", [3.0, 40.5, 1440.0])
def test_equals_pandas(half_life: float) -> None:
    rng = np.random.default_rng(1)
    X = np.cumsum(rng.standard_normal((4_000, 3)), axis=0) * [1.0, 1e-6, 1e5] + [0.0, 3.0, -1e6]
    frame = pd.DataFrame(X).ewm(halflife=half_life, adjust=True)
    with np.errstate(invalid="ignore"):
        expected = (X - frame.mean().to_numpy()) / np.sqrt(frame.var(bias=True).to_numpy())
    ours = normalised(X, NormaliserConfig(half_life, min_rows=50, clip=math.inf))
    assert np.isnan(ours[:49]).all()
    np.testing.assert_allclose(ours[49:], expected[49:], rtol=1e-7, atol=1e-8)  # 1e-16 of a level 3e6 times the spread


@pytest.mark.parametrize("outlier_sd", [math.inf, 3.0])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e12])
def test_equals_the_definition_in_exact_arithmetic(outlier_sd: float, scale: float) -> None:
    rng = np.random.default_rng(2)
    values = scale * (5.0 + rng.standard_t(2, 120))
    values[[0, 1, 40, 41, 90]] = np.nan
    config = NormaliserConfig(half_life_rows=20, min_rows=10, clip=2.0, outlier_sd=outlier_sd)
    ours = normalised(values[:, None], config)[:, 0]
    np.testing.assert_allclose(ours, slow(values.tolist(), config), rtol=1e-11, atol=1e-11)
    assert np.isnan(ours[:11]).all()
    assert np.isfinite(ours[11:40]).all()
    assert (np.abs(ours[11:]) == 2.0).any()


def test_an_outlier_hardly_moves_the_robust_statistics() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal(6_000)
    values[1_000] = 1e6
    values[3_000:] += 50.0
    config = {"half_life_rows": 200.0, "min_rows": 100, "clip": 1e9}
    plain = normalised(values[:, None], NormaliserConfig(**config))[:, 0]
    robust = normalised(values[:, None], NormaliserConfig(**config, outlier_sd=3.0))[:, 0]
    assert np.std(plain[1_001:1_400]) < 0.05  # one bad value blinds it
    assert 0.7 < np.std(robust[1_001:1_400]) < 1.3
    assert robust[3_000] > 30
    assert 0.5 < np.abs(robust[5_000:]).mean() < 0.9  # the new level is learnt


def test_a_column_that_stands_still_is_zero_also_after_it_moved() -> None:
    rng = np.random.default_rng(4)
    X = np.tile([0.0, 1.0, 0.1, 1e6 / 3, -1e-8], (60_000, 1))
    config = NormaliserConfig(half_life_rows=500, min_rows=10)
    assert (normalised(X, config)[9:] == 0.0).all()
    X[:200] += rng.standard_normal((200, 5)) * X[:200]
    ours = normalised(X, config)
    assert (np.abs(ours[50:200, 1:]) > 0.1).any(axis=0).all()
    assert np.abs(ours[10_000:]).max() < 0.01  # from twenty half-lives on: what rounding leaves never looks like news
    assert (ours[-1] == 0.0).all()
    assert np.isfinite(ours[9:]).all()


def test_only_the_past_counts() -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((3_000, 4))
    config = NormaliserConfig(half_life_rows=100, min_rows=20)
    whole = normalised(X, config)
    for cut in (30, CHUNK, CHUNK + 1, 2_999):
        changed = X.copy()
        changed[cut:] = 1e3 * rng.standard_normal((3_000 - cut, 4))
        assert normalised(changed, config)[:cut].tobytes() == whole[:cut].tobytes()
        assert normalised(X[:cut], config).tobytes() == whole[:cut].tobytes()
        assert (normalised(changed, config)[cut] != whole[cut]).all()


def test_settings_that_make_no_sense_are_refused() -> None:
    bad = {"half_life_rows": (0.0, math.nan, math.inf), "min_rows": (0,), "clip": (0.0, math.nan), "outlier_sd": (1.0,)}
    for name, values in bad.items():
        for value in values:
            with pytest.raises(InputError, match=name):
                NormaliserConfig(**{name: value})
