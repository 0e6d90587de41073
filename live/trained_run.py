"""What a session takes from a finished run: models, ensemble, scaler, policy and the market's rules, checked to fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from agents.checkpoints import POLICY_WEIGHTS, checkpoint_of
from agents.policy import TrainedPolicy, load_policy
from data_pipeline.errors import InputError
from data_pipeline.files import file_sha256
from data_pipeline.instruments import Instrument
from envs.columns import HALF_SPREAD
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.policy import Policy
from features.scaling import Scaler
from supervised.fold_store import TrainedFold, further_columns, last_fold
from supervised.meta import Ensemble
from supervised.predictions import column_names
from supervised.walk_forward import load_ensemble

MARKETS, PREDICTIONS, POLICY, SCALER = "markets", "predictions", "policy.onnx", "scaler.json"


@dataclass(frozen=True)
class TrainedRun:
    """Everything that a session needs to know and does not change."""

    instrument: Instrument
    interval_ms: int
    columns: tuple[str, ...]
    """The market's observation columns: features, then P(up), then what else the models say where policies see it."""
    fold: TrainedFold
    """The last fold's models and their scaler."""
    ensemble: Ensemble
    """The ensemble as it stood after the run's last bar."""
    scaler: Scaler
    """Of the observation columns."""
    policy: Policy
    config: MarketConfig
    predictions: Path
    """Folder of the symbol's folds, predictions and ensemble."""
    market: Market
    """What the run saw. A session on bars up to its last is a rehearsal, not evidence."""
    identity: dict[str, str]
    """What tells this run's models and policy from any other's."""

    @property
    def further(self) -> bool:
        """Whether the policy sees more of the models than P(up)."""
        return self.columns[-1] in further_columns(self.fold.config)

    @property
    def spread_of_bars(self) -> bool:
        """Whether the half-spread was estimated from the bars, row by row, in place of the rules' constant."""
        return bool(np.isfinite(self.market.prices[:, HALF_SPREAD]).any())

    @property
    def known_until_ms(self) -> int:
        """Open time of the last bar that the run has seen."""
        return int(self.market.open_time_ms[-1])

    def __post_init__(self) -> None:
        members = tuple(self.fold.models)
        horizons = self.fold.config.horizons
        wanted = (
            *self.fold.feature_names,
            *column_names("p_up", horizons, members),
            *column_names("p_up", horizons, ("ensemble",)),
        )
        seen = (wanted, wanted + further_columns(self.fold.config))
        if self.columns not in seen or (self.ensemble.members, self.ensemble.hedge.horizons) != (members, horizons):
            raise InputError(
                "models and market do not have the same columns",
                where=f"run, {self.instrument.symbol}",
                remedy="run the experiment again",
            )


def load_run(path: Path, *, symbol: str | None = None, policy: Path | None = None) -> TrainedRun:
    """Open a run folder of run_scalping_experiment.

    `symbol` may be left out when the run has one; `policy` is a checkpoint folder or .onnx file in place of the run's
    own. Raises InputError when a part is missing, the run is not finished, or parts do not fit together.
    """
    path = Path(path)
    market_folder = _symbol_folder(path, symbol)
    market = Market.load(market_folder)
    predictions = path / PREDICTIONS / market_folder.name
    fold = last_fold(predictions)
    policy_path = path / POLICY if policy is None else Path(policy)
    trained = load_policy(policy_path)
    if trained.spec.observation_columns != observation_columns(market):
        raise InputError(
            "the policy observes other columns than the run's market has",
            where=str(policy_path),
            remedy="give a policy of this run",
        )
    weights = policy_path if policy_path.suffix == ".onnx" else checkpoint_of(policy_path) / POLICY_WEIGHTS
    return TrainedRun(
        instrument=market.instrument,
        interval_ms=market.interval_ms,
        columns=market.columns,
        fold=fold,
        ensemble=load_ensemble(predictions, fold.config),
        scaler=_load_scaler(market_folder / SCALER),
        policy=trained,
        config=market_rules(trained, str(policy_path)),
        predictions=predictions,
        market=market,
        identity={
            "symbol": market.symbol,
            "models": fold.config_hash,
            "policy": file_sha256(weights),
            "scaler": file_sha256(market_folder / SCALER),
        },
    )


def market_rules(policy: TrainedPolicy, where: str) -> MarketConfig:
    """The rules that a policy was trained under. Raises InputError for rules that this version does not know."""
    unknown = sorted(policy.spec.market.keys() - {field.name for field in fields(MarketConfig)})
    if unknown:
        raise InputError(f"rule {unknown[0]!r} of its market is unknown", where=where, remedy="train the policy again")
    return MarketConfig.from_dict(policy.spec.market)


def _symbol_folder(path: Path, symbol: str | None) -> Path:
    found: dict[str, Path] = {}
    for about in sorted((path / MARKETS).glob("*/market.json")):
        found[json.loads(about.read_text())["symbol"]] = about.parent
    if not found:
        raise InputError(
            "no finished run is there",
            where=str(path),
            remedy="make one with python -m scripts.run_scalping_experiment --out FOLDER",
        )
    if symbol is None and len(found) == 1:
        return next(iter(found.values()))
    if symbol is None or symbol not in found:
        what = "the run has several symbols" if symbol is None else f"symbol {symbol!r} is not in the run"
        raise InputError(what, where=str(path), remedy=f"pass --symbol, one of {' '.join(found)}")
    return found[symbol]


def _load_scaler(path: Path) -> Scaler:
    try:
        return Scaler.from_dict(json.loads(path.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"no scaler ({error})", where=str(path), remedy="run the experiment again") from error
