"""Where episodes begin and end, and what is told about one that has ended."""

from typing import Any

import numpy as np
from numba import njit

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.lanes import (
    AMBIGUOUS,
    CASH,
    CLOCK_ROWS,
    EQUITY,
    FEES,
    FRESH,
    INITIAL,
    MAX_DRAWDOWN,
    PEAK,
    PHASE,
    REFUSED,
    ROW,
    SPREAD_COST,
    SQUARED_RETURNS,
    START,
    STOP,
    TRADES,
    WINDOW,
    WINS,
    LaneState,
)
from envs.market import Market

YEAR_MS = 365.25 * 86_400_000

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def episode_windows(market: Market, config: MarketConfig) -> np.ndarray:
    """Where episodes may begin: int64 (K, 3) rows [first start, starts before this row, bars].

    An episode is a stretch of consecutive tradable rows, so it crosses no gap and meets no row that cannot be traded.
    Window k offers as many starts as fit (random), or one (sequential: stretches are cut into windows end to end).
    The last row is a sentinel that holds the total number of starts. Raises InputError when no stretch is long enough.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], market.tradable.view(np.int8), [0]))))
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


@njit(cache=True)
def _next_random(streams, i):
    """The next number of lane i's stream, uniform in [0, 1): SplitMix64 (Steele, Lea & Flood 2014), top 53 bits."""
    streams[i] += _GOLDEN
    bits = streams[i]
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    bits = bits ^ (bits >> np.uint64(31))
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
def lane_streams(key: int, lanes: np.ndarray) -> np.ndarray:
    """First states of the streams of `lanes` (uint64 (N,), their numbers): uint64 (N,), by number and key alone."""
    streams = np.empty(lanes.shape[0], dtype=np.uint64)
    for i in range(lanes.shape[0]):
        # One mixing round spreads neighbouring lane numbers over the whole cycle, so streams do not overlap.
        bits = np.uint64(key) ^ (lanes[i] * _MIX_1)
        bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
        streams[i] = bits ^ (bits >> np.uint64(31))
    return streams


@njit(cache=True)
def start_episodes(account, clock, streams, chosen, windows, low, high, sequential, stagger):
    """Begin a new episode in the lanes where `chosen` (N,) is true; each draws exactly three numbers.

    windows   as `episode_windows`
    low, high the initial capital, log-uniform between them
    stagger   shortens the first episodes at random (to no less than one bar), so that lanes do not all end together
    """
    lanes = account.shape[1]
    total = windows[-1, 1]
    for i in range(lanes):
        if not chosen[i]:
            continue
        place, wealth, cut = _next_random(streams, i), _next_random(streams, i), _next_random(streams, i)
        window = clock[WINDOW, i]
        pick = window % total if sequential else min(np.int64(place * total), total - 1)
        k = np.searchsorted(windows[:, 1], pick, side="right") - 1
        bars = windows[k, 2]
        if stagger:
            bars = 1 + np.int64(cut * bars)
        capital = low * np.exp(wealth * np.log(high / low)) if high > low else low
        account[:, i] = 0.0
        account[CASH, i] = account[EQUITY, i] = account[PEAK, i] = account[INITIAL, i] = capital
        for j in range(CLOCK_ROWS):
            clock[j, i] = 0
        clock[ROW, i] = clock[START, i] = windows[k, 0] + pick - windows[k, 1]
        clock[STOP, i] = clock[START, i] + bars
        clock[PHASE, i] = FRESH
        clock[WINDOW, i] = window + lanes


def episode_statistics(state: LaneState, interval_ms: int) -> dict[str, np.ndarray]:
    """What the running (or just ended) episode of each lane has come to: arrays (N,), float64 unless said.

    equity         marked at the last close, quote units
    return_log     ln(equity / initial capital)
    trades         closed, int64
    win_rate       share of them with a net profit (0 without trades)
    trades_per_day closed trades per 24 hours
    max_drawdown   largest 1 - equity / peak, marked at closes
    sharpe         mean / standard deviation of log returns per bar, × sqrt(bars in a year); 0 when nothing moved
    costs          fees and half-spreads, quote units
    ambiguous      share of closed trades whose exit bar touched both barriers
    refused        entries refused for size, int64
    bars           length so far, int64
    """
    account, clock = state.account, state.clock
    bars = clock[ROW] - clock[START]
    safe_bars = np.maximum(bars, 1)
    trades = clock[TRADES].copy()
    safe_trades = np.maximum(trades, 1)
    return_log = np.log(np.maximum(account[EQUITY] / account[INITIAL], 1e-3))
    mean = return_log / safe_bars
    variance = np.maximum(account[SQUARED_RETURNS] / safe_bars - mean * mean, 0.0)
    moved = variance > 0.0
    sharpe = np.where(moved, mean / np.sqrt(np.where(moved, variance, 1.0)), 0.0) * np.sqrt(YEAR_MS / interval_ms)
    return {
        "equity": account[EQUITY].copy(),
        "return_log": return_log,
        "trades": trades,
        "win_rate": clock[WINS] / safe_trades,
        "trades_per_day": trades * (86_400_000 / interval_ms) / safe_bars,
        "max_drawdown": account[MAX_DRAWDOWN].copy(),
        "sharpe": sharpe,
        "costs": account[FEES] + account[SPREAD_COST],
        "ambiguous": clock[AMBIGUOUS] / safe_trades,
        "refused": clock[REFUSED].copy(),
        "bars": bars,
    }


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
        self.seed(0)

    def seed(self, key: int) -> None:
        """Give every lane the first state of its stream, and the first of its sequential windows."""
        self._state.streams[:] = lane_streams(np.uint64(key), self._numbers)
        self._state.clock[WINDOW] = np.arange(len(self._numbers))

    def start(self, chosen: np.ndarray, options: dict[str, Any] | None = None) -> None:
        """Begin an episode in the lanes where bool `chosen` (N,) is true; `options` as `ScalpingEnv.reset`."""
        windows = self._windows
        low, high = self._config.capital_range
        stagger = False
        for name, value in (options or {}).items():
            if name == "start_row":
                windows = self._window_at(int(value))
            elif name == "initial_capital":
                low = high = float(value)
                if not 0 < low < np.inf:
                    raise InputError(f"initial_capital {value} is not positive", where="reset options")
            elif name == "stagger":
                stagger = bool(value)
            else:
                raise InputError(
                    f"unknown option {name!r}",
                    where="reset options",
                    remedy="known: start_row, initial_capital, stagger",
                )
        state = self._state
        sequential = self._config.episode_start == "sequential"
        start_episodes(state.account, state.clock, state.streams, chosen, windows, low, high, sequential, stagger)

    def _window_at(self, row: int) -> np.ndarray:
        """The one window that starts at `row` and lasts to the end of its tradable stretch, or an episode's length."""
        tradable = self._market.tradable[row : row + self._config.episode_bars] if row >= 0 else np.zeros(0, bool)
        bars = len(tradable) if tradable.all() else int(np.argmin(tradable))
        if bars == 0:
            raise InputError(
                f"start_row {row} cannot be traded", where=f"market {self._market.symbol}", remedy="see Market.tradable"
            )
        return np.array([(row, 0, bars), (0, 1, 0)], dtype=np.int64)
