"""Configuration of an experiment: the options of `python -m scripts.run_scalping_experiment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.config import DemonstrationSource
from data_pipeline.errors import InputError

SpreadKind = Literal["constant", "bars"]
ModelKind = Literal["tcn", "transformer", "lstm", "mixer"]


@dataclass(frozen=True)
class ExperimentConfig:
    """From bars to a judged policy. Without --bars the embedded SYNTHETIC market is used (no network, no keys)."""

    bars: tuple[Path, ...] = ()
    """Bars to run on: Parquet, CSV or the exchange's zipped CSV files, or folders of Parquet; a symbol's are joined."""
    symbols: tuple[str, ...] = ()
    """Keep these symbols only (default: every symbol found in --bars)."""
    start: str | None = None
    """First moment to use, ISO date or date-time, UTC, inclusive."""
    end: str | None = None
    """End of the range, ISO date or date-time, UTC, exclusive."""

    market: Literal["planted_edge", "no_edge"] = "planted_edge"
    """The synthetic market: with a hidden state that can be learned, or without any edge. Ignored with --bars."""
    days: int = 100
    """Length of the synthetic market in days. Ignored with --bars."""

    agent: Literal["ppo", "ddpg"] = "ppo"
    """The RL algorithm."""
    action_mode: Literal["discrete", "multi_discrete", "continuous"] | None = None
    """What an action is: the wanted side; side × TP × SL from grids; side/size, TP and SL as numbers. Default: discrete
    for ppo; ddpg is always continuous."""
    iterations: int | None = None
    """Training iterations for each agent seed (default: what the algorithm needs on the synthetic market)."""
    agent_seeds: int = 5
    """Policies trained, each with its own seed; the best on the validation days is judged, all are shown."""
    clone: DemonstrationSource = "none"
    """What policies imitate on the training days before they learn for themselves: nothing, the best threshold rule
    there, or perfect foresight."""
    patience: int = 0
    """A policy's training ends after so many validations in a row without an improvement (0: never)."""
    models: tuple[ModelKind, ...] = ("tcn", "transformer", "lstm")
    """Supervised models whose walk-forward predictions (and their ensemble's) enter the observation."""
    horizons: tuple[int, ...] = (5, 15)
    """Bars ahead that the models predict the direction and the size of the move of."""
    outcomes: bool = False
    """Let the models also learn how the discrete actions' bracket would end: stop, time-out or take-profit."""
    observe: Literal["direction", "everything"] = "direction"
    """What of the models' predictions policies see: P(up), or sizes, outcomes and uncertainties too."""
    folds: int = 4
    """Walk-forward folds; a fold's models have seen only labels that ended before it began."""
    train_fraction: float = 0.70
    """Share of the range, from its start, that agents may learn from."""
    validation_fraction: float = 0.10
    """Share after that which chooses checkpoint and seed. The rest is the test, first looked at by the backtest."""

    initial_capital: float = 10_000.0
    """Quote currency at the start of each episode and of the backtest."""
    contract: Literal["spot", "linear"] = "linear"
    """Rules of the instrument: spot (no short selling, 10/10 bps) or linear perpetual (2 bps maker, 5 bps taker)."""
    maker_fee_bps: float | None = None
    """Overrides the instrument's maker fee, in basis points of the notional."""
    taker_fee_bps: float | None = None
    """Overrides the instrument's taker fee, in basis points of the notional."""
    half_spread_bps: float = 0.5
    """Half of the bid-ask spread, paid on every market order."""
    spread_model: SpreadKind = "constant"
    """Where the half-spread comes from: --half-spread-bps throughout; or bars, estimated row by row from past bars
    (Abdi & Ranaldo 2017), at least half a tick. Outcomes are learned with the constant either way."""
    take_profit_bps: float = 50.0
    """Take-profit distance of discrete actions, in basis points of the entry price."""
    stop_loss_bps: float = 30.0
    """Stop-loss distance of discrete actions, in basis points of the entry price."""
    ttl_bars: int = 60
    """A position is closed at market after this many bars."""

    seed: int = 0
    """Seed of everything random."""
    device: str = "auto"
    """auto, cpu, cuda[:i] or xpu[:i]: where models and learners run."""
    threads: int = 1
    """Torch threads. More help only large models on idle cores; on a busy machine they slow everything down."""
    out: Path | None = None
    """Folder of the run (default: a new one under runs/)."""
    track: str | None = None
    """MLflow store to log the finished run to, such as sqlite:///mlflow.db (extra `tracking`)."""
    resume: bool = False
    """Go on with the run in --out after an interruption."""

    def check(self) -> None:
        """Raise InputError for the first option that cannot be used (tyro boxes what a constructor raises)."""

        def refuse(option: str, remedy: str) -> InputError:
            return InputError(f"--{option.replace('_', '-')} {getattr(self, option)!r} cannot be used", remedy=remedy)

        if not 0.0 < self.train_fraction < 1.0:
            raise refuse("train_fraction", "give a share between 0 and 1")
        if not 0.0 < self.validation_fraction < 1.0 - self.train_fraction:
            raise refuse("validation_fraction", "train and validation shares must leave some days for the test")
        if not self.models or len(set(self.models)) < len(self.models):
            raise refuse("models", "name one or more of tcn, transformer, lstm, mixer, each once")
        if not self.horizons or min(self.horizons) < 1 or len(set(self.horizons)) < len(self.horizons):
            raise refuse("horizons", "give one or more different numbers of bars, each at least 1")
        for option in ("days", "iterations", "agent_seeds", "folds", "threads", "ttl_bars"):
            if getattr(self, option) is not None and getattr(self, option) < 1:
                raise refuse(option, "give a whole number of at least 1")
        for option in ("initial_capital", "take_profit_bps", "stop_loss_bps"):
            if not getattr(self, option) > 0.0:
                raise refuse(option, "give a number above 0")
        if self.patience < 0:
            raise refuse("patience", "give a whole number of at least 0")
        if self.half_spread_bps < 0.0:
            raise refuse("half_spread_bps", "give a number of at least 0")
        if self.agent == "ddpg" and self.action_mode not in (None, "continuous"):
            raise refuse("action_mode", "ddpg needs continuous actions; leave --action-mode out")
        if self.resume and self.out is None:
            raise InputError("--resume needs to know the run", remedy="pass --out with its folder")

    @property
    def synthetic(self) -> bool:
        """Whether the embedded synthetic market is used."""
        return not self.bars

    @property
    def resolved_action_mode(self) -> Literal["discrete", "multi_discrete", "continuous"]:
        """The action mode after defaults."""
        if self.agent == "ddpg":
            return "continuous"
        return self.action_mode or "discrete"

    @property
    def default_name(self) -> str:
        """Name of the run's folder when --out is not given, without the time of day."""
        source = f"synthetic-{self.market}" if self.synthetic else "-".join(sorted(self.symbols)) or "bars"
        return f"{source}-{self.agent}-seed{self.seed}".replace("/", "")
