"""Options of `python -m scripts.paper_trade`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_pipeline.errors import InputError


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

    def check(self) -> None:
        """Raise InputError for the first option that cannot be used (tyro boxes what a constructor raises)."""
        if not self.bars:
            raise InputError("--bars names no file", remedy="give at least one file of bars")
        for name in ("speed", "capital"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise InputError(f"--{name} {value} cannot be used", remedy="give a number above 0")
