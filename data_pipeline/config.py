"""Settings of the synthetic market. Imports nothing heavy, so that `--help` answers at once."""

import math
from dataclasses import dataclass
from typing import Literal

from data_pipeline.errors import InputError

MINUTE_MS = 60_000


@dataclass(frozen=True)
class SyntheticConfig:
    """A SYNTHETIC market of one-minute bars; see docs/data.md for the formulas."""

    setting: Literal["no_edge", "planted_edge"] = "planted_edge"
    """no_edge: driftless, nothing predicts. planted_edge: a hidden state moves the next bars."""
    edge_strength: float = 0.3
    """kappa: drift of the next bar per unit of the hidden state, in units of that bar's sigma. Ignored by no_edge."""
    bars: int = 60 * 1440
    """Number of one-minute bars."""
    seed: int = 0
    """Same seed, same market, to the bit; other seeds are independent markets."""
    symbol: str = "SYN/USDT"
    """Name of the market; must begin with SYN so that nobody takes it for real data."""
    start_ms: int = 1_577_836_800_000
    """Open time of the first bar, UTC milliseconds (2020-01-01), on the minute."""
    initial_price: float = 10_000.0
    """Price before the first bar, in quote units."""
    tick_size: float = 0.01
    """Price step. Each bar shows an unrounded path, rounded without bias, so rounding neither adds up nor predicts."""
    lot_step: float = 0.0001
    """Volume step, in base units."""
    sigma_bps: float = 8.0
    """Root mean square of the one-minute noise, bps; the median minute is quieter, the tails are heavy."""
    state_half_life: float = 20.0
    """Half-life of the hidden state, bars."""
    reading_gain: float = 0.5
    """b: weight of the hidden state in the logit of the taker-buy share."""
    reading_noise: float = 0.8
    """c: standard deviation of the noise in that logit."""
    reading_return: float = 0.6
    """a: weight of the bar's own standardised return in that logit."""
    flip_bar: int | None = None
    """First bar whose taker-buy share reads the hidden state with the opposite sign (-b): what buyers used to tell of
    the next bars, sellers tell from there on. Prices stay what they are. None: never."""

    def __post_init__(self) -> None:
        where = "SyntheticConfig"
        if self.setting not in ("no_edge", "planted_edge"):
            raise InputError(f"setting {self.setting!r} is unknown", where=where, remedy="use no_edge or planted_edge")
        if not self.symbol.startswith("SYN"):
            raise InputError(f"symbol {self.symbol!r} could pass for real", where=where, remedy="begin it with SYN")
        if self.start_ms % MINUTE_MS:
            raise InputError(f"start_ms {self.start_ms} is not on the minute", where=where, remedy="round it to 60000")
        if self.seed < 0:
            raise InputError(f"seed {self.seed} is negative", where=where, remedy="use 0 or above")
        if self.flip_bar is not None and self.flip_bar < 0:
            raise InputError(f"flip_bar {self.flip_bar} is negative", where=where, remedy="use 0 or above, or None")
        limits = {
            "bars": (1, math.inf),
            "edge_strength": (0.0, 2.0),
            "initial_price": (1e-6, 1e9),
            "tick_size": (1e-10, 1.0),
            "lot_step": (1e-10, 1.0),
            "sigma_bps": (1e-3, 100.0),
            "state_half_life": (0.1, 1_000.0),
            "reading_gain": (0.0, 10.0),
            "reading_noise": (1e-3, 10.0),
            "reading_return": (0.0, 10.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} {value} is not in [{low:g}, {high:g}]", where=where, remedy="change it")
        for name in ("tick_size", "lot_step"):
            per_unit = 1.0 / getattr(self, name)
            if abs(per_unit - round(per_unit)) > 1e-6 * per_unit:
                raise InputError(
                    f"{name} {getattr(self, name)} does not divide 1", where=where, remedy="use such as 0.01 or 0.5"
                )
        if self.tick_size > 1e-4 * self.initial_price:
            raise InputError(
                f"tick_size {self.tick_size} is above 1 bps of the price, so rounding would hide the planted edge",
                where=where,
                remedy="use a finer tick or a higher initial_price",
            )

    @property
    def kappa(self) -> float:
        """The drift that is really planted: `edge_strength`, or 0 in the no_edge setting."""
        return self.edge_strength if self.setting == "planted_edge" else 0.0

    @property
    def state_memory(self) -> float:
        """phi: AR(1) coefficient of the hidden state for its half-life."""
        return 0.5 ** (1.0 / self.state_half_life)
