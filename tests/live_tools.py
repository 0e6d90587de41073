"""A small finished run for tests of live: real models, ensemble, scaler and market; the policy's weights are random."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from agents.config import NetworkConfig
from agents.policy import TorchPolicy
from agents.policy_network import PolicyNetwork
from agents.policy_spec import PolicySpec, space_fields
from data_pipeline.config import SyntheticConfig
from data_pipeline.synthetic import synthetic_market
from envs.actions import action_space
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from evaluation.config import ExperimentConfig
from evaluation.dataset import SymbolRows, prepare_symbols
from evaluation.observations import build_market
from features.bars.catalogue import BAR_FIELDS
from live.feed import ClosedBar
from supervised.config import ModelConfig, TrainConfig, WalkForwardConfig
from supervised.outputs import Bracket
from supervised.predictions import Predictions
from supervised.walk_forward import walk_forward_predictions

ROWS = 2_600
RULES = MarketConfig(action_mode="multi_discrete", half_spread_bps=0.2, ttl_bars=15)
LEARNING = WalkForwardConfig(
    horizons=(2, 5),
    models=(
        ModelConfig("tcn", hidden=8, window=16),
        ModelConfig("transformer", hidden=8, window=16),
        ModelConfig("lstm", hidden=8, window=150),
    ),
    train=TrainConfig(epochs=2, chunk=128, learning_rate=1e-2),
    folds=2,
    first_train_fraction=0.35,
    embargo_rows=10,
    brackets=(Bracket(50.0, 30.0, 60), Bracket(50.0, 30.0, 60, side=-1)),
)
TEST_BEGINS, SECOND_GAP = 1_800, 2_200
"""Rows before which minutes are missing: the test days begin after the first gap, so what a session computes from
there on does not depend on anything earlier."""


@dataclass(frozen=True)
class LiveRun:
    """The run and what it was made from."""

    path: Path
    policy: Path
    symbol: SymbolRows
    market: Market
    predictions: Predictions
    bars_file: Path
    """The test days as a file."""

    def bars(self, start: int = TEST_BEGINS, stop: int = ROWS) -> list[ClosedBar]:
        """Rows as closed bars."""
        arrays = self.symbol.bars
        rows = np.stack([getattr(arrays, name) for name in BAR_FIELDS], axis=1)
        return [ClosedBar.from_row(arrays.open_time_ms[t], rows[t]) for t in range(start, stop)]


def build_run(path: Path) -> LiveRun:
    """Train and write the run."""
    keep = np.delete(np.arange(ROWS + 31), [*range(TEST_BEGINS, TEST_BEGINS + 30), SECOND_GAP + 30])
    table = synthetic_market(SyntheticConfig(bars=ROWS + 31, seed=3, edge_strength=0.9)).bars
    kept = table.take(keep).replace_schema_metadata(table.schema.metadata)
    name = table.schema.metadata[b"symbol"].decode()
    symbol = prepare_symbols({name: kept}, ExperimentConfig(horizons=LEARNING.horizons, outcomes=True))[0]
    predictions = walk_forward_predictions(
        symbol.features,
        symbol.targets,
        symbol.target_ends,
        symbol.segments,
        symbol.bars.open_time_ms,
        LEARNING,
        feature_names=symbol.feature_names,
        out_dir=path / "predictions" / symbol.slug,
    )
    market = build_market(symbol, predictions, path / "markets")
    bars_file = path / f"{symbol.slug}-test.parquet"
    pq.write_table(kept.slice(TEST_BEGINS), bars_file)
    return LiveRun(path, _save_policy(market, path / "policy"), symbol, market, predictions, bars_file)


def _save_policy(market: Market, folder: Path) -> Path:
    spec = PolicySpec(
        algorithm="ppo",
        network=NetworkConfig(hidden=(8,)),
        **space_fields(action_space(RULES)),
        observation_columns=observation_columns(market),
        market=asdict(RULES),
        iteration=0,
    )
    random = torch.Generator().manual_seed(5)
    shapes = PolicyNetwork(spec).state_dict()
    weights = {key: torch.randn(value.shape, generator=random).numpy() for key, value in shapes.items()}
    folder.mkdir()
    TorchPolicy(spec, weights).save(folder)
    return folder
