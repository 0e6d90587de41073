"""The read-only arrays that a simulated market is made of: prices, observations, where trading is possible."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays, segments
from envs.aligned import aligned_empty
from envs.columns import CALENDAR_COLUMNS, FINER, FINER_COLUMNS, FUNDING, PRICE_COLUMNS, TRADABLE
from envs.costs import DAY_MS, TradingCosts
from envs.observation import ACCOUNT_COLUMNS, OBSERVATION_BOUND


@dataclass(frozen=True, eq=False)
class Market:
    """One symbol's bars and observation rows, aligned by row. Every array is read-only and C-contiguous.

    open_time_ms  int64 (T,)    UTC ms of each bar's open, strictly increasing
    prices        float64 (T,8) open, high, low, close, volume and what trading costs, see `envs.columns`
    calendar      float64 (T,3) funding, UTC day, where the bar's finer bars begin, see `envs.columns`
    finer         float64 (M,4) open, high, low, close of shorter bars, M = 0 without them
    observations  float32 (T,C) what a policy sees at the close of each bar; always finite (0 where it was missing)
    segment_stop  int64 (T,)    first row after the contiguous stretch that the row belongs to
    """

    symbol: str
    instrument: Instrument
    interval_ms: int
    open_time_ms: np.ndarray
    prices: np.ndarray
    calendar: np.ndarray
    finer: np.ndarray
    observations: np.ndarray
    columns: tuple[str, ...]
    segment_stop: np.ndarray

    ARRAYS: ClassVar[dict[str, str]] = {
        "open_time_ms": "int64",
        "prices": "float64",
        "calendar": "float64",
        "finer": "float64",
        "observations": "float32",
        "segment_stop": "int64",
    }
    """Type of each array field."""

    def __post_init__(self) -> None:
        for name, dtype in self.ARRAYS.items():
            # A plain read-only view: memory maps are slow to hand to compiled code, and one array type means one
            # compiled specialisation.
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view(np.ndarray)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        rows, shapes = (len(self.open_time_ms),), self.shapes()
        for name in self.ARRAYS:
            shape, wanted = getattr(self, name).shape, shapes.get(name, rows)
            if shape != wanted:
                raise InputError(f"{name} has shape {shape}, not {wanted}", where=f"market {self.symbol}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape that each array must have; those not named here hold one number a row."""
        rows = len(self.open_time_ms)
        return {
            "prices": (rows, PRICE_COLUMNS),
            "calendar": (rows, CALENDAR_COLUMNS),
            "finer": (len(self.finer), FINER_COLUMNS),
            "observations": (rows, len(self.columns)),
        }

    def __reduce__(self) -> tuple:
        """Pickle and copy by the constructor, for a copied array forgets that it is read-only."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @property
    def tradable(self) -> np.ndarray:
        """bool (T,), fresh: the row was complete and the next bar follows without a gap."""
        return (self.prices[:, TRADABLE] != 0.0) & (np.arange(len(self)) + 1 < self.segment_stop)

    @property
    def funded(self) -> bool:
        """Whether funding is due anywhere."""
        return bool(self.calendar[:, FUNDING].any())

    @classmethod
    def build(
        cls,
        bars: BarArrays,
        observations: np.ndarray,
        columns: tuple[str, ...],
        instrument: Instrument,
        interval_ms: int = 60_000,
        *,
        costs: TradingCosts | None = None,
        finer: BarArrays | None = None,
    ) -> "Market":
        """Join bars with observation rows (T, C) that were known at each bar's close; NaN marks what is missing.

        A row with a NaN is never traded (features in warm-up, rows without a prediction). `finer` are shorter bars
        (1 second, say) of the same market, wherever there are some: they tell which barrier a bar met first.
        Raises InputError for misaligned shapes, repeated column names, prices that no bar can have, observations
        outside ±1000 (they must be scaled: raw prices in an observation tell the policy the date), costs that make no
        sense, funding on spot, and finer bars that leave the range of the bar around them.
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
        _check_prices(bars, where)
        half_spread, impact, funding = (costs or TradingCosts()).columns(bars, interval_ms, where)
        if instrument.contract == "spot" and funding.any():
            raise InputError("funding on a spot instrument", where=where, remedy="leave it out, or use a perpetual")
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
        quotes = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        prices = aligned_empty((len(bars), PRICE_COLUMNS), np.float64)  # a row is a cache line then
        np.stack([*quotes, half_spread, impact, tradable.astype(np.float64)], axis=1, out=prices)
        first, inside = _finer_rows(bars, finer, interval_ms, where)
        return cls(
            symbol=instrument.symbol,
            instrument=instrument,
            interval_ms=interval_ms,
            open_time_ms=bars.open_time_ms,
            prices=prices,
            calendar=np.stack([funding, bars.open_time_ms // DAY_MS, first], axis=1),
            finer=inside,
            observations=np.where(missing, 0.0, values),
            columns=tuple(columns),
            segment_stop=segment_stop,
        )

    def slice(self, start: int, stop: int) -> Self:
        """Rows [start, stop) as views; the last row of the slice is not tradable, for its next bar is cut off."""
        start, stop, _ = slice(start, stop).indices(len(self))
        if stop - start < 2:
            raise InputError(f"rows [{start}, {stop}) hold less than two bars", where=f"market {self.symbol}")
        return replace(self, **self.cut(start, stop))

    def cut(self, start: int, stop: int) -> dict[str, Any]:
        """The arrays that a slice [start, stop) changes, as views where it can."""
        return {
            "open_time_ms": self.open_time_ms[start:stop],
            "prices": self.prices[start:stop],
            "calendar": self.calendar[start:stop],
            "finer": self.finer[: int(self.calendar[stop, FINER]) if stop < len(self) else None],
            "observations": self.observations[start:stop],
            "segment_stop": np.minimum(self.segment_stop[start:stop], stop) - start,
        }

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `folder` (arrays as .npy, the rest as market.json); it appears whole or not at all."""
        target = Path(folder)
        partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
        partial.mkdir(parents=True)
        try:
            for name in self.ARRAYS:
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
            arrays = {name: np.load(source / f"{name}.npy", mmap_mode="r") for name in cls.ARRAYS}
            symbol, interval_ms, columns = about["symbol"], about["interval_ms"], tuple(about["columns"])
            instrument = Instrument(**about["instrument"])
        except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
            reason = str(error).split(".")[0]
            raise InputError(
                f"not a saved market ({reason})", where=str(source), remedy="write it with Market.save"
            ) from error
        return cls(symbol, instrument, interval_ms, columns=columns, **arrays)


def _finer_rows(
    bars: BarArrays, finer: BarArrays | None, interval_ms: int, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """First row of `finer` inside each bar, int64 (T,), and the finer prices inside any bar, float64 (M, 4)."""
    if finer is None:
        return np.zeros(len(bars), dtype=np.int64), np.empty((0, FINER_COLUMNS))
    _check_prices(finer, f"{where}, finer bars")
    if not (np.diff(finer.open_time_ms) > 0).all():
        row = int(np.argmin(np.diff(finer.open_time_ms) > 0)) + 1
        raise InputError(
            "the time does not rise", where=f"{where}, finer bars, row {row}", remedy="sort them and drop repeats"
        )
    bar = np.searchsorted(bars.open_time_ms, finer.open_time_ms, side="right") - 1
    inside = (bar >= 0) & (finer.open_time_ms < bars.open_time_ms[bar] + interval_ms)
    prices = np.stack([finer.open, finer.high, finer.low, finer.close], axis=1)[inside]
    bar = bar[inside]
    beyond = (prices[:, 1] > bars.high[bar]) | (prices[:, 2] < bars.low[bar])
    if beyond.any():
        row = int(bar[np.argmax(beyond)])
        raise InputError(
            "a finer bar leaves the range of its bar",
            where=f"{where}, row {row}",
            remedy="give finer bars of the same market and the same trades",
        )
    return np.searchsorted(bar, np.arange(len(bars))), prices


MarketSource = Market | str | os.PathLike


def open_market(source: MarketSource) -> Market:
    """A market as it is, or loaded from the folder that `Market.save` wrote."""
    return source if isinstance(source, Market) else Market.load(source)


def _check_prices(bars: BarArrays, where: str) -> None:
    opens, highs, lows, closes = bars.open, bars.high, bars.low, bars.close
    with np.errstate(invalid="ignore"):
        sane = (lows > 0) & (lows <= np.minimum(opens, closes)) & (highs >= np.maximum(opens, closes))
        sane &= np.isfinite(highs)
    if not sane.all():
        row = int(np.argmin(sane))
        raise InputError(
            f"open, high, low, close {[float(x[row]) for x in (opens, highs, lows, closes)]} are not a bar",
            where=f"{where}, row {row}",
            remedy="check the bars with data_pipeline.schema.validate_bars",
        )
