"""Where episodes begin and end, and what is told about one that has ended."""

import math
import sys
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from envs import lanes
from envs.accounting import open_account
from envs.compiled import inlined, kernel
from envs.config import MarketConfig
from envs.lanes import LaneState
from envs.market import Market
from envs.streams import first_streams, next_random

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
_NOBODY = np.zeros(0, dtype=bool)
COST_ROWS = (lanes.FEES, lanes.SPREAD_COST, lanes.IMPACT_COST, lanes.FUNDING_COST)


def episode_windows(market: Market, config: MarketConfig, span_ms: tuple[int, int] | None = None) -> np.ndarray:
    """Where episodes may begin: int64 (K, 3) rows [first start, starts before this row, bars].

    An episode is a stretch of consecutive tradable rows, so it crosses no gap and meets no row that cannot be traded.
    Window k offers as many starts as fit (random), or one (sequential: stretches are cut into windows end to end).
    Within `span_ms` (start, stop) only, where given. The last row is a sentinel that holds the total number of starts.
    Raises InputError when no stretch is long enough.
    """
    tradable = market.tradable
    if span_ms is not None:
        tradable &= (market.open_time_ms >= span_ms[0]) & (market.open_time_ms < span_ms[1])
    edges = np.flatnonzero(np.diff(np.concatenate(([0], tradable.view(np.int8), [0]))))
    windows: list[tuple[int, int, int]] = []
    total = 0
    for start, stop in edges.reshape(-1, 2).tolist():
        if config.episode_start == "sequential":
            for first in range(start, stop, config.episode_bars):
                bars = min(config.episode_bars, stop - first)
                if bars >= config.min_episode_bars:
                    windows.append((first, total, bars))
                    total += 1
        elif stop - start >= config.min_episode_bars:
            bars = min(config.episode_bars, stop - start)
            windows.append((start, total, bars))
            total += stop - start - bars + 1
    if total == 0:
        longest = int(np.max(edges[1::2] - edges[::2], initial=0))
        raise InputError(
            f"the longest stretch of tradable rows has {longest} bars, an episode needs {config.min_episode_bars}",
            where=f"market {market.symbol}",
            remedy="give more data or lower min_episode_bars",
        )
    return np.array([*windows, (0, total, 0)], dtype=np.int64)


@kernel
def start_episodes(
    account: np.ndarray,
    clock: np.ndarray,
    streams: np.ndarray,
    chosen: np.ndarray,
    windows: np.ndarray,
    draw: np.ndarray,
    sequential: bool,
    stagger: bool,
) -> None:
    """Begin a new episode in the lanes where bool `chosen` (N,) is true, or, where `chosen` is empty, whose episode has
    ended; each draws exactly three numbers.

    windows   as `episode_windows`
    draw      float64 (3,): low and high of the initial capital, log-uniform between them; log of how much likelier the
              last start is than the first
    stagger   ends the episode after a random part of its bars, so that lanes that start together do not end together
    """
    count = streams.shape[0]
    total = windows[-1, 1]
    for i in range(count):
        over = clock[lanes.TERMINATED, i] != clock[lanes.TRUNCATED, i]
        if not (chosen[i] if chosen.shape[0] > 0 else over):
            continue
        place, wealth, part = next_random(streams, i), next_random(streams, i), next_random(streams, i)
        if draw[2] > 0.0:  # the inverse of the distribution function of an exponential density on [0, 1)
            place = np.log1p(place * np.expm1(draw[2])) / draw[2]
        in_order = clock[lanes.WINDOW, i]
        pick = in_order % total if sequential else min(np.int64(place * total), total - 1)
        window = _window_of(pick, windows)
        start = windows[window, 0] + pick - windows[window, 1]
        bars = windows[window, 2]
        initial = draw[0]
        if draw[1] > draw[0]:
            initial *= np.exp(wealth * np.log(draw[1] / draw[0]))
        stop = start + (1 + np.int64(part * bars) if stagger else bars)
        open_account(i, initial, start, stop, account, clock)
        clock[lanes.WINDOW, i] = in_order + count


@inlined
def _window_of(pick: int, windows: np.ndarray) -> int:
    """The window whose starts include number `pick`, by bisection."""
    low, high = 0, windows.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if windows[middle, 1] <= pick:
            low = middle
        else:
            high = middle
    return low


def episode_statistics(state: LaneState, interval_ms: int, ended: np.ndarray) -> dict[str, np.ndarray]:
    """What the running (or just ended) episodes have come to in the lanes where bool `ended` (N,) is true: fresh arrays
    (N,), zero in the other lanes, float64 unless said.

    equity         marked at the last close, settlement currency
    return_log     ln(equity / initial capital)
    win_rate       share of exits with a net profit (0 without trades)
    trades_per_day exits per 24 hours
    max_drawdown   largest 1 - equity / peak, marked at closes
    sharpe         mean / standard deviation of log returns per bar, × sqrt(bars in a year); 0 when nothing moved
    costs          fees, half-spreads, impact and funding, settlement currency; each of them alone:
    fees, spread_cost, impact_cost, funding
    ambiguous      share of exits in bars that touched both barriers with nothing finer to tell them apart
    trades         exits, int64
    refused        entries refused, int64
    liquidated     exits forced by the exchange, int64
    bars           length so far, int64
    """
    return StatisticsTable(len(ended)).tell(state, interval_ms, ended)


class StatisticsTable:
    """Arrays that `episode_statistics` are told in, which can be used again when nobody has one of them any more."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        table = np.zeros((len(_REALS) + len(_COUNTS), lanes))
        self._reals, self._counts = table[: len(_REALS)], table[len(_REALS) :].view(np.int64)
        self._rows = dict(zip(_REALS + _COUNTS, (*self._reals, *self._counts), strict=True))
        # A view of a view refers to the memory's owner, so whoever holds a part of a row shows here too.
        self._held = (table, *self._rows.values())
        del table
        self._references = sum(map(sys.getrefcount, self._held))

    @property
    def free(self) -> bool:
        """Whether nobody holds what was told."""
        return sum(map(sys.getrefcount, self._held)) == self._references

    def tell(self, state: LaneState, interval_ms: int, ended: np.ndarray) -> dict[str, np.ndarray]:
        """`episode_statistics` of `state`."""
        _tell_episodes(state.account, state.clock, ended, interval_ms, self._reals, self._counts)
        return self._rows.copy()


class StatisticsTables:
    """`episode_statistics` for who tells them often: of a thousand lanes some episode ends at every other step, and as
    many new arrays each time would drive out of the processor's cache what the next step needs."""

    def __init__(self) -> None:
        self._tables: list[StatisticsTable] = []

    def tell(self, state: LaneState, interval_ms: int, ended: np.ndarray) -> dict[str, np.ndarray]:
        """`episode_statistics`, in arrays that stay as they are for as long as somebody has one of them."""
        for table in self._tables:
            if table.free and table.lanes == len(ended):
                break
        else:
            table = StatisticsTable(len(ended))
            self._tables = [table, *self._tables[:1]]  # callers have the last infos while they ask for the next
        return table.tell(state, interval_ms, ended)


_COSTS = ("fees", "spread_cost", "impact_cost", "funding")
_REALS = ("equity", "return_log", "win_rate", "trades_per_day", "max_drawdown", "sharpe", "costs", "ambiguous", *_COSTS)
_COUNTS = ("trades", "refused", "liquidated", "bars")


@kernel
def _tell_episodes(
    account: np.ndarray,
    clock: np.ndarray,
    ended: np.ndarray,
    interval_ms: int,
    reals: np.ndarray,
    counts: np.ndarray,
) -> None:
    """`episode_statistics` into reals (12, N) and counts (4, N), whatever they hold."""
    reals[:, :] = 0.0
    counts[:, :] = 0
    for i in range(ended.shape[0]):
        if not ended[i]:
            continue
        bars = clock[lanes.ROW, i] - clock[lanes.FIRST_ROW, i]
        trades = clock[lanes.TRADES, i]
        safe_bars, safe_trades = max(bars, 1), max(trades, 1)
        return_log = account[lanes.LOG_EQUITY, i] - account[lanes.LOG_INITIAL, i]
        mean = return_log / safe_bars
        variance = account[lanes.SQUARED_RETURNS, i] / safe_bars - mean * mean
        sharpe = mean / math.sqrt(variance) * math.sqrt(YEAR_MS / interval_ms) if variance > 0.0 else 0.0
        reals[0, i] = account[lanes.EQUITY, i]
        reals[1, i] = return_log
        reals[2, i] = clock[lanes.WINS, i] / safe_trades
        reals[3, i] = trades * (DAY_MS / interval_ms) / safe_bars
        reals[4, i] = account[lanes.MAX_DRAWDOWN, i]
        reals[5, i] = sharpe
        for k, row in enumerate(COST_ROWS):
            reals[6, i] += account[row, i]
            reals[8 + k, i] = account[row, i]
        reals[7, i] = clock[lanes.AMBIGUOUS, i] / safe_trades
        counts[0, i] = trades
        counts[1, i] = clock[lanes.REFUSED, i]
        counts[2, i] = clock[lanes.LIQUIDATED, i]
        counts[3, i] = bars


class EpisodeStarter:
    """Begins episodes in the lanes of one batch.

    `numbers` uint64 (N,) names the lanes: a lane's stream depends on its number and the key alone, so it is the same
    however many lanes there are.
    """

    def __init__(self, market: Market, config: MarketConfig, state: LaneState, numbers: np.ndarray) -> None:
        self._market = market
        self._config = config
        self._state = state
        self._numbers = np.asarray(numbers, dtype=np.uint64)
        self._windows = episode_windows(market, config)
        self._draw = self._draw_from(self._windows, config.capital_range)
        self.seed(0)

    def seed(self, key: int) -> None:
        """Give every lane the first state of its stream, and the first of its sequential windows."""
        self._state.streams[:] = first_streams(key, self._numbers)
        self._state.count(lanes.WINDOW)[:] = np.arange(len(self._numbers))

    def restart(self) -> None:
        """Begin an episode in the lanes whose last one has ended."""
        state, sequential = self._state, self._config.episode_start == "sequential"
        start_episodes(
            state.account, state.clock, state.streams, _NOBODY, self._windows, self._draw, sequential, stagger=False
        )

    def start(self, chosen: np.ndarray, options: dict[str, Any] | None = None) -> None:
        """Begin an episode in the lanes where bool `chosen` (N,) is true; `options` as `ScalpingEnv.reset`."""
        windows = self._windows
        capital = self._config.capital_range
        stagger = False
        for name, value in (options or {}).items():
            if name == "start_row":
                windows = self._window_at(int(value))
            elif name == "initial_capital":
                capital = (float(value), float(value))
                if not 0 < capital[0] < np.inf:
                    raise InputError(f"initial_capital {value} is not positive", where="reset options")
            elif name == "stagger":
                stagger = bool(value)
            elif name == "span_ms":
                windows = self._windows = episode_windows(self._market, self._config, value)
                self._draw = self._draw_from(windows, self._config.capital_range)
            else:
                raise InputError(
                    f"unknown option {name!r}",
                    where="reset options",
                    remedy="known: start_row, initial_capital, stagger, span_ms",
                )
        state = self._state
        sequential = self._config.episode_start == "sequential"
        draw = self._draw_from(windows, capital) if options else self._draw
        start_episodes(state.account, state.clock, state.streams, chosen, windows, draw, sequential, stagger)

    def _draw_from(self, windows: np.ndarray, capital: tuple[float, float]) -> np.ndarray:
        """What `start_episodes` draws by."""
        days = windows[-1, 1] * self._market.interval_ms / DAY_MS
        return np.array([*capital, min(np.log(2.0) * days / self._config.recency_days, 700.0)])

    def _window_at(self, row: int) -> np.ndarray:
        """The one window that starts at `row` and lasts to the end of its tradable stretch, or an episode's length."""
        tradable = self._market.tradable[row : row + self._config.episode_bars] if row >= 0 else np.zeros(0, bool)
        bars = len(tradable) if tradable.all() else int(np.argmin(tradable))
        if bars == 0:
            raise InputError(
                f"start_row {row} cannot be traded", where=f"market {self._market.symbol}", remedy="see Market.tradable"
            )
        return np.array([(row, 0, bars), (0, 1, 0)], dtype=np.int64)
