"""Half-spread and impact of an instrument from recorded trades and ten-level books, as the market of bars wants them.

    python -m scripts.calibrate_costs --trades rec/trades.parquet --books rec/books.parquet --symbol BTCUSDT

docs/book.md says what is measured, and how little a short recording tells.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from scripts.cli import run


@dataclass(frozen=True)
class Args:
    """Which recording, of what."""

    trades: Path
    """Recorded trades (Parquet, as scripts.record writes them)."""
    books: Path
    """Recorded ten-level books."""
    symbol: str
    """Whose order rules to take, such as BTCUSDT."""
    contract: Literal["spot", "linear", "inverse"] = "linear"
    """Its contract."""
    contract_size: float = 1.0
    """What a unit of the recorded sizes stands for (100 for contracts of 100 USD)."""
    step_ms: int = 1_000
    """Length of a step."""
    window_steps: int = 10
    """Steps over which net taker volume moves the price."""
    out: Path | None = None
    """Write the numbers there, as JSON."""


def main(args: Args) -> int:
    """Print what was measured; 0."""
    import numpy as np
    from rich.console import Console

    from data_pipeline.files import write_json
    from data_pipeline.instruments import default_instrument
    from envs.book.calibration import calibrate_costs
    from envs.book.market import BookMarket, decision_times
    from envs.book.recording import read_recording

    recording = read_recording(args.trades, args.books, contract_size=args.contract_size)
    steps = decision_times(recording, args.step_ms)
    instrument = default_instrument(args.symbol, args.contract, recording.books[:, 0])
    market = BookMarket.from_recording(recording, steps, np.zeros((len(steps), 1)), ("nothing",), instrument)
    found = calibrate_costs(market, window_steps=args.window_steps)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{args.symbol}, {found.steps:,} steps of {args.step_ms} ms\n"
        f"half-spread       {found.half_spread_bps:.4f} bps, {found.half_spread_ticks:.2f} ticks\n"
        f"spread model      scale {found.spread_scale:.3f}, floor {found.half_spread_ticks:.2f} ticks\n"
        f"impact of flow    Y = {found.impact_of_flow:.2f} (R² {found.flow_share_explained:.2f})\n"
        f"impact of sweeps  Y = {found.impact_of_sweeps:.2f}, the least an order at once can pay"
    )
    if args.out is not None:
        write_json(args.out, asdict(found))
        console.print(f"written: {args.out}")
    return 0


def main_cli() -> int:
    """Entry point of `python -m scripts.calibrate_costs`."""
    return run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
