"""The market of bars that came after a run: the run's features, the predictions of its last models, its scaling."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays, segments
from envs.costs import TradingCosts
from envs.market import Market
from envs.spread import half_spread_of_bars
from features.batch import compute_features
from features.scaling import Scaler
from supervised.dataset import Dataset
from supervised.market_data import labels
from supervised.observation import observation_rows
from supervised.outputs import OutputLayout
from supervised.walk_forward import later_predictions


def later_market(
    bars: BarArrays,
    predictions_dir: Path,
    *,
    feature_names: tuple[str, ...],
    columns: tuple[str, ...],
    scaler: Scaler,
    instrument: Instrument,
    interval_ms: int,
    further: bool,
    spread_of_bars: bool,
) -> Market:
    """Bars that the run has not seen, with the columns that its policies observe.

    bars: early enough for the features' warm-up and the models' context; rows that the run has seen serve for that
    and are left out. predictions_dir: RUN/predictions/SYMBOL. further: policies see what models say beside P(up).
    spread_of_bars: as in `evaluation.observations.build_market`. Raises InputError when no bar is later than the run's.
    """
    features = compute_features(bars, feature_names)

    def dataset(layout: OutputLayout) -> Dataset:
        y, ends = labels(bars, layout, interval_ms)
        return Dataset(features, y, ends, segments(bars.open_time_ms, interval_ms), bars.open_time_ms)

    found = later_predictions(predictions_dir, dataset)
    rows = observation_rows(features, found.values, found.further if further else None)
    costs = TradingCosts(half_spread_of_bars(bars, instrument, interval_ms) if spread_of_bars else None)
    market = Market.build(bars, scaler.transform(rows), columns, instrument, interval_ms, costs=costs)
    return market.slice(int(np.argmax(found.fold >= 0)), len(market))
