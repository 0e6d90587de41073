"""A ready market for trying an environment without data: SYNTHETIC bars with their features."""

from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.schema import bar_arrays
from data_pipeline.synthetic import synthetic_market
from envs.market import Market
from features.batch import compute_features
from features.catalogue import feature_names
from features.scaling import Scaler

DEMO = SyntheticConfig(bars=30 * 1_440)
"""Thirty days with a planted edge."""


def demo_market(config: SyntheticConfig = DEMO) -> Market:
    """A SYNTHETIC market: the core bar features, scaled by the first half of the rows."""
    bars = bar_arrays(synthetic_market(config).bars)
    rows = compute_features(bars, ["core"])
    scaler = Scaler.fit(rows, slice(0, len(rows) // 2))
    return Market.build(bars, scaler.transform(rows), feature_names(["core"]), default_instrument(config.symbol))
