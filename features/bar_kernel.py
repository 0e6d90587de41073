"""The one compiled function that turns bars into feature rows: a batch of any length, or a single bar of a live feed.

`advance` is the only entry point. Batch and stream are the same machine code called with more bars or fewer, so they
agree bit for bit; no fast-math, no vectorised transcendental functions, one order of operations.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from features.bar_flow import activity_step, flow_step
from features.bar_layout import (
    BLOCKS,
    COLUMNS,
    COUNT,
    FINGERPRINT,
    INTERVAL_MS,
    LAST_LOG_CLOSE,
    LAST_LOG_HIGH,
    LAST_LOG_LOW,
    LAST_OPEN_MS,
    LAST_RETURN,
    LOG_CLOSE_RING,
    LONG,
    REQUIRED,
    RETURN_SQUARED,
    RING,
    SHORT,
    SHORT_RETURN_SQUARED,
    WARMUP_ROWS,
    Bar,
)
from features.bar_liquidity import liquidity_step
from features.bar_price import price_step, time_step
from features.bar_volatility import dependence_step, volatility_step
from features.windows import window_sum

SOURCES = (
    "windows",
    "catalogue",
    "bar_layout",
    "bar_price",
    "bar_volatility",
    "bar_flow",
    "bar_liquidity",
    "bar_kernel",
)


def source_fingerprint() -> float:
    """48 bits of a hash over the source of the step, as an exact float64."""
    digest = hashlib.blake2b(digest_size=6)
    for name in SOURCES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return float(int.from_bytes(digest.digest(), "big"))


SOURCE_FINGERPRINT = source_fingerprint()


@njit(error_model="numpy", forceinline=True)
def bar_fits(columns: np.ndarray, t: int, required: int) -> bool:
    """Prices finite, positive and ordered; volume and every required optional field finite and not negative."""
    o, h, low, c = columns[0, t], columns[1, t], columns[2, t], columns[3, t]
    fits = 0.0 < low <= o <= h < math.inf and low <= c <= h and 0.0 <= columns[4, t] < math.inf
    for field in range(5, 9):
        if (required >> field) & 1:
            fits = fits and 0.0 <= columns[field, t] < math.inf
    return fits


@njit(error_model="numpy", forceinline=True)
def take_bar(columns: np.ndarray, t: int, plan: np.ndarray, state: np.ndarray) -> Bar:
    """The bar at `t` with what the state remembers of the one before; a stretch's first bar has itself before it."""
    count = int(state[COUNT])
    long, short = plan[LONG], plan[SHORT]
    long_slot, short_slot, ring_slot = count % long, count % short, count % plan[RING]
    log_open, log_high = math.log(columns[0, t]), math.log(columns[1, t])
    log_low, log_close = math.log(columns[2, t]), math.log(columns[3, t])
    first = count == 0
    last_log_close = log_close if first else state[LAST_LOG_CLOSE]
    r = log_close - last_log_close
    squares = window_sum(state, plan[BLOCKS + RETURN_SQUARED], long, long_slot, r * r)
    short_squares = window_sum(state, plan[BLOCKS + SHORT_RETURN_SQUARED], short, short_slot, r * r)
    state[plan[BLOCKS + LOG_CLOSE_RING] + ring_slot] = log_close
    return Bar(
        columns[0, t],
        columns[1, t],
        columns[2, t],
        columns[3, t],
        columns[4, t],
        columns[5, t],
        columns[6, t],
        columns[7, t],
        log_open,
        log_high,
        log_low,
        log_close,
        last_log_close,
        log_high if first else state[LAST_LOG_HIGH],
        log_low if first else state[LAST_LOG_LOW],
        r,
        state[LAST_RETURN],
        squares,
        short_squares,
        math.sqrt(squares / long),
        count,
        short_slot,
        long_slot,
        ring_slot,
    )


@njit(error_model="numpy", forceinline=True)
def step(open_time_ms: int, bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray) -> None:
    """Write every feature of the catalogue, in its order, into `row`, and move the state past `bar`."""
    column = price_step(bar, plan, state, row, 0)
    column = volatility_step(bar, plan, state, row, column)
    column = dependence_step(bar, plan, state, row, column)
    column = flow_step(bar, plan, state, row, column)
    column = activity_step(bar, plan, state, row, column)
    column = liquidity_step(bar, plan, state, row, column)
    time_step(open_time_ms, plan, row, column)
    state[COUNT] = bar.seen + 1
    state[LAST_OPEN_MS] = open_time_ms
    state[LAST_LOG_CLOSE] = bar.log_close
    state[LAST_LOG_HIGH] = bar.log_high
    state[LAST_LOG_LOW] = bar.log_low
    state[LAST_RETURN] = bar.log_return


def compile_advance(fingerprint: float) -> Callable[..., int]:
    """Compile `advance` for one state of the sources.

    numba's on-disk cache looks at this file only, so an edit of another module of the step would be ignored; values of
    the closure are part of its key, and the fingerprint is one. It also marks the state: one saved by other sources is
    refused by `FeatureStream.from_state`.
    """

    @njit(cache=True, error_model="numpy")
    def advance(
        open_time_ms: np.ndarray,
        columns: np.ndarray,
        plan: np.ndarray,
        selection: np.ndarray,
        state: np.ndarray,
        out: np.ndarray,
    ) -> int:
        """Take in bars `columns` float64 (9, T), rows as in `BAR_FIELDS`; write the selected features to `out` (T, F).

        Returns T, or the first row that is not a bar later than all before it; rows from there on are not touched and
        the state stands as after the row above. A bar that does not follow the last one by the interval resets the
        state; rows inside the warm-up are NaN.
        """
        row = np.empty(plan[COLUMNS])
        for t in range(len(open_time_ms)):
            last = int(state[LAST_OPEN_MS])
            started = state[COUNT] > 0.0
            if not bar_fits(columns, t, plan[REQUIRED]) or (started and open_time_ms[t] <= last):
                return t
            if not started or open_time_ms[t] != last + plan[INTERVAL_MS]:
                state[:] = 0.0
                state[FINGERPRINT] = fingerprint
            step(open_time_ms[t], take_bar(columns, t, plan, state), plan, state, row)
            if state[COUNT] > plan[WARMUP_ROWS]:
                for i in range(len(selection)):
                    out[t, i] = row[selection[i]]
            else:
                out[t, :] = np.nan
        return len(open_time_ms)

    return advance


advance = compile_advance(SOURCE_FINGERPRINT)
