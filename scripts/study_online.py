"""Does learning on help? SYNTHETIC markets whose truth is known: gain recovered, recovery time, forgetting.

    python -m scripts.study_online
    python -m scripts.study_online --settings flip --learning.drift adwin --study.seed 3

Prints a table per setting: of each forecaster and horizon the share of the best possible gain in expected accuracy that
its calls make before the change and when it has settled after it, the rows until 80 % is back, accuracy and log-loss
against the model as it was trained, and the p-value of the difference (Diebold-Mariano).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from data_pipeline.errors import InputError
from scripts.cli import run
from supervised.online.config import LearningConfig, StudyConfig

if TYPE_CHECKING:
    from rich.table import Table

    from supervised.online.study import StudyResult


@dataclass(frozen=True)
class Args:
    """What is studied, and how the models learn on."""

    settings: tuple[str, ...] = ("flip", "stationary", "no_edge")
    """Markets, one after the other; each takes the place of --study.setting."""
    study: StudyConfig = field(default_factory=StudyConfig)
    """Market and models."""
    learning: LearningConfig = field(default_factory=LearningConfig)
    """How they learn on."""


def main(args: Args) -> int:
    """Run and print; 0 when done."""
    from rich.console import Console

    from supervised.online.study import run_study

    if not args.settings:
        raise InputError("no market is named", where="--settings", remedy="use flip, stationary, no_edge")
    studies = [replace(args.study, setting=setting) for setting in args.settings]  # type: ignore[arg-type]
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    for study in studies:
        result = run_study(study, args.learning)
        console.print(table_of(result))
        for kind, lost in result.forgotten.items():
            console.print(
                f"{kind}, log-loss on another market of the first regime: {lost.before:.4f} before the change, "
                f"{lost.after:.4f} at the end ({lost.forgotten:+.4f} forgotten), {lost.frozen:.4f} as trained",
                highlight=False,
            )
        for horizon, tests in result.stretches.items():
            worst = min((test.p_value for test in tests if test.statistic > 0), default=1.0)
            console.print(
                f"ensemble over {horizon} bars against the member that was best on each of {len(tests)} stretches of "
                f"{result.config.window:,} bars: smallest p-value against it {worst:.3g}",
                highlight=False,
            )
        for kind, counts in result.counts.items():
            console.print(f"{kind}: {counts}", highlight=False)
    return 0


def table_of(result: StudyResult) -> Table:
    """The standings."""
    from rich.table import Table

    table = Table(title=f"SYNTHETIC {result.config.setting}, seed {result.config.seed}", title_justify="left")
    for column in ("forecaster", "bars", "gain before", "gain after", "80 % after", "accuracy", "log-loss", "p"):
        table.add_column(column, justify="left" if column == "forecaster" else "right")
    for standing in result.standings:
        lift = standing.against_frozen
        scores = ("", "", "")
        if lift is not None:
            scores = (
                f"{lift.accuracy:.4f} ({lift.accuracy - lift.frozen_accuracy:+.4f})",
                f"{lift.log_loss:.4f} ({lift.log_loss - lift.frozen_log_loss:+.4f})",
                f"{lift.lift.p_value:.1e}",
            )
        recovery = "" if standing.recovery is None else f"{standing.recovery:,} rows"
        table.add_row(
            standing.name, str(standing.horizon), f"{standing.before:.2f}", f"{standing.after:.2f}", recovery, *scores
        )
    return table


def main_cli() -> int:
    """Console entry point."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
