"""Options of `python -m scripts.paper_trade`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from data_pipeline.errors import InputError
from envs.config import RiskLimits
from supervised.online.config import LearningConfig


@dataclass(frozen=True)
class SessionLimits:
    """Circuit breakers. One left out is as the policy was trained, or as the resumed session had it; inf: none."""

    daily_loss: float | None = None
    """Fraction of the equity at the start of the UTC day; beyond it the account is flat until the next day."""
    drawdown: float | None = None
    """Fraction of the highest equity, marked at closes; beyond it the account is flat until --rearm."""
    losing_streak: float | None = None
    """Losing exits in a row after which nothing is entered for --cool-down-bars."""
    cool_down_bars: float | None = None
    """Bars without entries after a losing streak or a burst of volatility."""
    entries_per_day: float | None = None
    """Entries in one UTC day; after them nothing is entered until the next."""
    exposure: float | None = None
    """Position value over equity that an entry may reach; a larger order is cut to it."""
    price_collar_bps: float | None = None
    """A market entry is refused when the price has jumped farther than this from the close it was decided at."""
    volatility_multiple: float | None = None
    """A bar's range over the usual one beyond which nothing is entered for --cool-down-bars."""
    stale_after_s: float | None = None
    """Seconds of silence (missing bars, or a bar that comes late) after which the account is flat until --rearm."""

    def over(self, others: SessionLimits) -> SessionLimits:
        """These, and `others` where one is left out."""
        return replace(others, **{name: value for name, value in asdict(self).items() if value is not None})

    def risk(self, trained: RiskLimits) -> RiskLimits:
        """The account's own limits, `trained` where one is left out. Raises InputError for one that cannot be met."""
        given = {name: value for name, value in asdict(self).items() if value is not None and name != "stale_after_s"}
        return replace(trained, **given)


@dataclass(frozen=True)
class PaperConfig:
    """Trade a trained run on closed bars, with paper money."""

    run: Path
    """Folder of a finished run of run_scalping_experiment."""
    bars: tuple[Path, ...]
    """Bars to trade on: Parquet, CSV or the exchange's zipped CSV files, or folders of Parquet, all of one symbol."""
    symbol: str | None = None
    """Which of the run's symbols (needed when it has several)."""
    policy: Path | None = None
    """Another policy of the run: a checkpoint folder or an .onnx file (default: RUN/policy.onnx)."""
    capital: float | None = None
    """Quote currency to start with (default: what the run was backtested with)."""
    speed: float | None = None
    """Replay at this many times real time (60: one minute bar a second). Default: as fast as possible."""
    out: Path | None = None
    """Folder of the session (default: RUN/paper/SYMBOL)."""
    resume: bool = False
    """Go on with the session in --out: bars that it has seen are skipped."""
    limits: Annotated[SessionLimits, tyro.conf.arg(name="")] = field(default_factory=SessionLimits)
    learn: bool = False
    """Let the models learn on from every label once it is known. A resumed session does as it was started."""
    learning: LearningConfig = field(default_factory=LearningConfig)
    """How, with --learn."""
    rearm: str | None = None
    """Lift a halt, with --resume: who you are and why, for OUT/risk.jsonl. Refused while the kill switch is pulled."""

    def check(self) -> None:
        """Raise InputError for the first option that cannot be used (tyro boxes what a constructor raises)."""
        if not self.bars:
            raise InputError("--bars names no file", remedy="give at least one file of bars")
        for name in ("speed", "capital"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise InputError(f"--{name} {value} cannot be used", remedy="give a number above 0")
        if self.learn and self.resume:
            raise InputError("--learn cannot be given with --resume", remedy="leave it out, or start anew with --out")
        if self.limits.stale_after_s is not None and not self.limits.stale_after_s > 0.0:
            raise InputError(f"--stale-after-s {self.limits.stale_after_s} is not above 0", remedy="inf: never")
        if self.rearm is not None and not (self.resume and self.rearm.strip()):
            raise InputError("--rearm needs --resume and a note", remedy="say who lifts the halt and why")
