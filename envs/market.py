"""The read-only arrays that a simulated market is made of: prices, observations, where trading is possible."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays, segments
from envs.observation import ACCOUNT_COLUMNS, OBSERVATION_BOUND

_ARRAYS = ("open_time_ms", "prices", "observations", "tradable", "segment_stop")


@dataclass(frozen=True, eq=False)
class Market:
    """One symbol's bars and observation rows, aligned by row. Every array is read-only and C-contiguous.

    open_time_ms  int64 (T,)    UTC ms of each bar's open, strictly increasing
    prices        float64 (T,5) open, high, low, close, volume in quote and base units
    observations  float32 (T,C) what a policy sees at the close of each bar; always finite (0 where it was missing)
    tradable      bool (T,)     the row was complete and the next bar follows without a gap
    segment_stop  int64 (T,)    first row after the contiguous stretch that the row belongs to
    """

    symbol: str
    instrument: Instrument
    interval_ms: int
    open_time_ms: np.ndarray
    prices: np.ndarray
    observations: np.ndarray
    columns: tuple[str, ...]
    tradable: np.ndarray
    segment_stop: np.ndarray

    def __post_init__(self) -> None:
        dtypes = {"open_time_ms": np.int64, "prices": np.float64, "observations": np.float32}
        dtypes |= {"tradable": np.bool_, "segment_stop": np.int64}
        for name, dtype in dtypes.items():
            # A plain read-only view: memory maps are slow to hand to compiled code, and one array type means one
            # compiled specialisation.
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view(np.ndarray)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        rows = len(self.open_time_ms)
        shapes = {"prices": (rows, 5), "observations": (rows, len(self.columns))}
        shapes |= {"tradable": (rows,), "segment_stop": (rows,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"{name} has shape {getattr(self, name).shape}, not {shape}", where=f"market {self.symbol}"
                )

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @classmethod
    def build(
        cls,
        bars: BarArrays,
        observations: np.ndarray,
        columns: tuple[str, ...],
        instrument: Instrument,
        interval_ms: int = 60_000,
    ) -> "Market":
        """Join bars with observation rows (T, C) that were known at each bar's close; NaN marks what is missing.

        A row with a NaN is never traded (features in warm-up, rows without a prediction).
        Raises InputError for misaligned shapes, repeated column names, prices that no bar can have, and observations
        outside ±1000 (they must be scaled: raw prices in an observation tell the policy the date).
        """
        where = f"market {instrument.symbol}"
        values = np.asarray(observations)
        if values.ndim != 2 or values.shape != (len(bars), len(columns)):
            raise InputError(
                f"observations have shape {values.shape}, bars and columns ask for ({len(bars)}, {len(columns)})",
                where=where,
            )
        if len(bars) < 2:
            raise InputError(f"{len(bars)} bars cannot be traded", where=where, remedy="give at least two bars")
        repeated = sorted({name for name in columns if (*columns, *ACCOUNT_COLUMNS).count(name) > 1})
        if repeated:
            raise InputError(f"column {repeated[0]!r} appears twice", where=where, remedy="rename it")
        prices = np.stack([bars.open, bars.high, bars.low, bars.close, bars.volume], axis=1)
        _check_prices(prices, where)
        missing = np.isnan(values)
        outside = ~missing & ~(np.abs(values) <= OBSERVATION_BOUND)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise InputError(
                f"value {values[row, column]} is outside ±{OBSERVATION_BOUND:g}",
                where=f"{where}, row {row}, column {columns[column]!r}",
                remedy="scale the observations (Scaler)",
            )
        spans = segments(bars.open_time_ms, interval_ms)
        segment_stop = np.repeat(spans[:, 1], spans[:, 1] - spans[:, 0])
        tradable = ~missing.any(axis=1) & (np.arange(len(bars)) + 1 < segment_stop)
        return cls(
            symbol=instrument.symbol,
            instrument=instrument,
            interval_ms=interval_ms,
            open_time_ms=bars.open_time_ms,
            prices=prices,
            observations=np.where(missing, 0.0, values),
            columns=tuple(columns),
            tradable=tradable,
            segment_stop=segment_stop,
        )

    def slice(self, start: int, stop: int) -> "Market":
        """Rows [start, stop) as views; the last row of the slice is not tradable, for its next bar is cut off."""
        start, stop, _ = slice(start, stop).indices(len(self))
        if stop - start < 2:
            raise InputError(f"rows [{start}, {stop}) hold less than two bars", where=f"market {self.symbol}")
        segment_stop = np.minimum(self.segment_stop[start:stop], stop) - start
        tradable = self.tradable[start:stop] & (np.arange(stop - start) + 1 < segment_stop)
        return Market(
            symbol=self.symbol,
            instrument=self.instrument,
            interval_ms=self.interval_ms,
            open_time_ms=self.open_time_ms[start:stop],
            prices=self.prices[start:stop],
            observations=self.observations[start:stop],
            columns=self.columns,
            tradable=tradable,
            segment_stop=segment_stop,
        )

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `folder` (arrays as .npy, the rest as market.json); it appears whole or not at all."""
        target = Path(folder)
        partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
        partial.mkdir(parents=True)
        try:
            for name in _ARRAYS:
                np.save(partial / f"{name}.npy", getattr(self, name))
            about = {
                "symbol": self.symbol,
                "instrument": asdict(self.instrument),
                "interval_ms": self.interval_ms,
                "columns": list(self.columns),
            }
            (partial / "market.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Market":
        """Open a saved market as memory maps, so that every process of a machine shares the same pages.

        Raises InputError when the folder is not a saved market.
        """
        source = Path(folder)
        try:
            about = json.loads((source / "market.json").read_text(encoding="utf-8"))
            arrays = {name: np.load(source / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
            instrument = Instrument(**about["instrument"])
            return cls(about["symbol"], instrument, about["interval_ms"], columns=tuple(about["columns"]), **arrays)
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(
                f"not a saved market ({error})", where=str(source), remedy="write it with Market.save"
            ) from error


MarketSource = Market | str | os.PathLike


def open_market(source: MarketSource) -> Market:
    """A market as it is, or loaded from the folder that `Market.save` wrote."""
    return source if isinstance(source, Market) else Market.load(source)


def _check_prices(prices: np.ndarray, where: str) -> None:
    opens, highs, lows, closes = prices[:, 0], prices[:, 1], prices[:, 2], prices[:, 3]
    with np.errstate(invalid="ignore"):
        sane = (lows > 0) & (lows <= np.minimum(opens, closes)) & (highs >= np.maximum(opens, closes))
        sane &= np.isfinite(highs)
    if not sane.all():
        row = int(np.argmin(sane))
        raise InputError(
            f"open, high, low, close {prices[row, :4].tolist()} are not a bar",
            where=f"{where}, row {row}",
            remedy="check the bars with data_pipeline.schema.validate_bars",
        )
