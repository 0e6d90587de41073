"""On the no_edge market nothing predicts and nothing drifts; the same tests find an edge where one is planted.

Every z below is standard normal when there is nothing to find. With the largest of the 25 allowed to reach 4.5, a
redrawn seed would raise a false alarm about twice in ten thousand (Bonferroni: 25 * 2 * Phi(-4.5)).
"""

import math

import numpy as np
import pytest

from data_pipeline import synthetic
from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import SyntheticMarket, synthetic_market

BARS = 1_000_000
ALARM = 4.5


def z_scores(market: SyntheticMarket) -> dict[str, float]:
    """sqrt(N) times the correlation of each predictor with later standardised returns that do not overlap."""
    bars, sigma = market.arrays(), market.sigma
    own = np.diff(np.log(bars.close), prepend=math.log(market.config.initial_price)) / sigma
    imbalance = 2 * bars.taker_buy_volume / bars.volume - 1
    recent = np.concatenate((np.zeros(20), np.convolve(imbalance, np.ones(20), "valid")[:-1]))
    minute = np.arange(len(bars)) % 1440
    predictors = {
        "return": own,
        "return 2 bars ago": np.roll(own, 1),
        "mean reversion": np.log(bars.close / bars.open),
        "imbalance": imbalance,
        "imbalance of 20 bars": recent,
        "filtered state": market.filtered_state(),
        "log volume": np.log(bars.volume),
        "position in range": (bars.close - bars.low) / (bars.high - bars.low + 1e-9),
        "volatility": np.log(sigma),
        "hour": np.cos(2 * np.pi * minute / 1440),
        "taker price": bars.taker_buy_quote_volume / bars.taker_buy_volume / bars.close - 1,
        "trade size": np.log(bars.volume / bars.trades),
    }
    scores = {}
    for horizon in (1, 10):
        rows = np.arange(30, len(bars) - horizon - 2, horizon)
        later = np.log(bars.open[rows + 1 + horizon] / bars.open[rows + 1])
        later /= np.sqrt(sum(sigma[rows + i] ** 2 for i in range(1, horizon + 1)))
        for name, predictor in predictors.items():
            x = predictor[rows]
            scores[f"{name}, {horizon} bars"] = math.sqrt(len(rows)) * float(np.corrcoef(x, later)[0, 1])
    scores["drift of the price"] = math.sqrt(len(bars)) * float(np.mean(np.expm1(sigma * own) / sigma))
    return scores


@pytest.mark.parametrize("initial_price", [10_000.0, 100.0], ids=["fine tick", "tick of 1 bps"])
def test_no_edge_has_neither_predictability_nor_drift(initial_price: float) -> None:
    config = SyntheticConfig(setting="no_edge", bars=BARS, seed=8, initial_price=initial_price)
    scores = z_scores(synthetic_market(config))
    assert len(scores) == 25
    assert {name: z for name, z in scores.items() if abs(z) > ALARM} == {}


def test_the_same_scores_find_a_weak_planted_edge() -> None:
    scores = z_scores(synthetic_market(SyntheticConfig(bars=BARS, seed=8, edge_strength=0.03)))
    for name in ("imbalance of 20 bars, 1 bars", "filtered state, 1 bars", "filtered state, 10 bars"):
        assert scores[name] > 2 * ALARM, name


@pytest.mark.parametrize("setting", ["no_edge", "planted_edge"])
def test_the_drift_taken_off_is_exactly_the_convexity(setting: str) -> None:
    """With all noise held at zero the log price falls by sigma^2 / 2 a bar, so that E[exp(sigma eps)] makes it even.

    No sample is long enough to show this in the mean: a bar's share is a thousandth of its noise. With a planted state
    the long-run variance takes the place of sigma^2: here summed from the state's autocovariances.
    """
    config = SyntheticConfig(setting=setting, bars=4_000)
    memory = np.array([math.log(config.initial_price), 0.0, 0.0, 0.0, 0.0])
    columns, trades = np.empty((len(synthetic._COLUMNS), 4_000)), np.empty(4_000, dtype=np.int32)
    normals, exponentials = np.zeros((4_000, synthetic._NORMALS)), np.zeros((4_000, 2 * synthetic.SUBSTEPS))
    constants = synthetic._constants(config)
    synthetic._draw_block(
        0, normals, exponentials, np.zeros(4_000), synthetic._season(), constants, memory, columns, trades
    )
    sigma = columns[synthetic._COLUMNS.index("sigma")]
    lags = np.arange(1, 2_000)
    long_run = 1.0 + config.kappa**2 * (1.0 + 2.0 * np.sum(config.state_memory**lags))
    assert math.log(config.initial_price) - memory[0] == pytest.approx(0.5 * long_run * np.sum(sigma**2), rel=1e-9)
