"""What bars tell about the cost of trading them: the impact model against plain Python, cut anywhere, and bad input."""

import math

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.columns import HALF_SPREAD, IMPACT
from envs.config import MarketConfig
from envs.costs import ImpactModel, TradingCosts
from tests.market_tools import FIRST_MS, MINUTE_MS, SPOT, build_market, random_bars


def series(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(open times with gaps, closes, volumes with empty bars)."""
    rng = np.random.default_rng(seed)
    minutes = np.cumsum(1 + (rng.random(rows) < 0.05) * rng.integers(1, 9, rows))
    volume = rng.lognormal(3.0, 1.0, rows) * (rng.random(rows) > 0.1)
    return FIRST_MS + MINUTE_MS * minutes, random_bars(rng, rows)[:, 3].copy(), volume


def plain_impact(times: np.ndarray, closes: np.ndarray, volumes: np.ndarray) -> list[float]:
    """σ / √V of a day, each the exponential average with a half-life of a day (1,440 minutes)."""
    keep = 0.5 ** (1 / 1_440)
    squares = volume = 0.0
    out = []
    for t in range(len(times)):
        if t > 0 and times[t] - times[t - 1] == MINUTE_MS:
            squares = keep * squares + (1 - keep) * math.log(closes[t] / closes[t - 1]) ** 2
            volume = keep * volume + (1 - keep) * volumes[t]
        daily = (1_440 * squares, 1_440 * volume)
        out.append(math.sqrt(daily[0]) / math.sqrt(daily[1]) if volume > 0 else 0.0)
    return out


def test_the_model_is_its_formula() -> None:
    times, closes, volumes = series()
    ours = ImpactModel().update(times, closes, volumes)
    np.testing.assert_allclose(ours, plain_impact(times, closes, volumes), rtol=1e-9)
    assert ours[0] == 0
    assert (ours[-300:] > 0).all()


@pytest.mark.parametrize("cut", [1, 2, 57, 399])
def test_cut_anywhere_is_the_whole(cut: int) -> None:
    times, closes, volumes = series()
    whole = ImpactModel().update(times, closes, volumes)
    model = ImpactModel()
    first = model.update(times[:cut], closes[:cut], volumes[:cut])
    follows = bool(times[cut] - times[cut - 1] == MINUTE_MS)
    rest = model.update(times[cut:], closes[cut:], volumes[cut:], first=follows)
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)


def test_a_later_bar_changes_nothing_earlier() -> None:
    times, closes, volumes = series()
    whole = ImpactModel().update(times, closes, volumes)
    closes[200:] *= 1.5
    np.testing.assert_array_equal(ImpactModel().update(times, closes, volumes)[:200], whole[:200])


def test_unknown_volumes_mean_no_impact() -> None:
    times, closes, volumes = series()
    volumes[7] = np.nan
    assert not ImpactModel().update(times, closes, volumes).any()
    assert not ImpactModel().update(times, closes, np.zeros(400)).any()


def test_hours_count_as_hours() -> None:
    """The coefficient is one of a day: bars of an hour made of the same minutes tell about the same."""
    rng = np.random.default_rng(3)
    minutes = 60 * 24 * 20
    closes = 1_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, minutes)))
    volumes = rng.lognormal(3.0, 0.5, minutes)
    by_minute = ImpactModel(60_000).update(np.arange(minutes) * 60_000, closes, volumes)[-1]
    hourly = volumes.reshape(-1, 60).sum(axis=1)
    by_hour = ImpactModel(3_600_000).update(np.arange(minutes // 60) * 3_600_000, closes[59::60], hourly)[-1]
    assert by_hour == pytest.approx(by_minute, rel=0.25)
    assert by_minute == pytest.approx(1e-3 / math.sqrt(volumes.mean()), rel=0.1)


def test_the_market_takes_the_model_where_nothing_is_given() -> None:
    bars = random_bars(np.random.default_rng(1), 60)
    volume = np.random.default_rng(2).lognormal(3.0, 1.0, 60)
    market = build_market(bars, volume=volume)
    expected = ImpactModel().update(market.open_time_ms, bars[:, 3], volume)
    np.testing.assert_array_equal(market.prices[:, IMPACT], expected)
    assert np.isnan(market.prices[:, HALF_SPREAD]).all()


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({"half_spread": np.zeros(9)}, r"half_spread has shape \(9,\), not \(8,\)"),
        ({"half_spread": np.array([0, 0, -1e-4, 0, 0, 0, 0, 0])}, r"row 2: half_spread -0.0001 is not in \[0, 1\]"),
        ({"impact": np.array([0, np.nan, 0, 0, 0, 0, 0, 0])}, r"row 1: impact nan is not in"),
        ({"impact": np.array([0, 0, 0, np.inf, 0, 0, 0, 0])}, r"row 3: impact inf is not in"),
        ({"funding": np.array([0, 0, 0, 0, 2.0, 0, 0, 0])}, r"row 4: funding 2.0 is not in \[-1, 1\]"),
    ],
)
def test_costs_that_make_no_sense_are_named(costs: dict, said: str) -> None:
    calm = np.tile([1000.0, 1001.0, 999.0, 1000.0], (8, 1))
    with pytest.raises(InputError, match=said):
        build_market(calm, costs=TradingCosts(**costs))


def test_spot_has_no_funding() -> None:
    calm = np.tile([1000.0, 1001.0, 999.0, 1000.0], (8, 1))
    with pytest.raises(InputError, match="funding on a spot instrument"):
        build_market(calm, instrument=SPOT, costs=TradingCosts(funding=np.full(8, 1e-4)))
    assert not build_market(calm, instrument=SPOT, costs=TradingCosts(funding=np.zeros(8))).funded
    assert build_market(calm, costs=TradingCosts(funding=np.full(8, 1e-4))).funded
    assert MarketConfig().impact == 1.0
