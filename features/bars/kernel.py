"""The one compiled function that turns bars into feature rows: a batch of any length, or a single bar of a live feed.

`advance` is the only entry point. Batch and stream are the same machine code called with more bars or fewer, so they
agree bit for bit; no fast-math, no vectorised transcendental functions, one order of operations.
"""

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from data_pipeline.schema import iso_time
from features.bars.catalogue import BAR_FIELDS, BARS, OPTIONAL_FIELDS
from features.bars.flow import activity_step, flow_step
from features.bars.layout import (
    BLOCKS,
    FIRST_HORIZON,
    HORIZONS,
    INTERVAL_MS,
    LAST_LOG_CLOSE,
    LAST_LOG_HIGH,
    LAST_LOG_LOW,
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
    make_plan,
)
from features.bars.liquidity import liquidity_step
from features.bars.price import price_step, time_step
from features.bars.volatility import dependence_step, volatility_step
from features.kernel import COUNT, FINGERPRINT, LAST_TIME, Kernel, blank_warmup, head_of, source_fingerprint
from features.windows import window_sum


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
    count = head_of(state)[COUNT]
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
    state[LAST_LOG_CLOSE] = bar.log_close
    state[LAST_LOG_HIGH] = bar.log_high
    state[LAST_LOG_LOW] = bar.log_low
    state[LAST_RETURN] = bar.log_return


def compile_advance(fingerprint: int) -> Callable[..., int]:
    """Compile `advance` (see `features.kernel`) for one state of the sources, which it also marks the state with."""

    @njit(cache=True, error_model="numpy")
    def advance(
        times: np.ndarray,
        columns: np.ndarray,
        plan: np.ndarray,
        settings: np.ndarray,  # noqa: ARG001  (none needed; every kernel is called alike)
        state: np.ndarray,
        scratch: np.ndarray,
        out: np.ndarray,
        first: int,
    ) -> int:
        head = head_of(state)
        selected = plan[FIRST_HORIZON + plan[HORIZONS] :]
        for t in range(len(times)):
            started = head[COUNT] > 0
            if not bar_fits(columns, t, plan[REQUIRED]) or (started and times[t] <= head[LAST_TIME]):
                return t
            if not started or times[t] != head[LAST_TIME] + plan[INTERVAL_MS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
            step(times[t], take_bar(columns, t, plan, state), plan, state, scratch)
            head[COUNT] += 1
            head[LAST_TIME] = times[t]
            for i in range(len(selected)):
                out[i, first + t] = scratch[selected[i]]
            blank_warmup(out, first + t, first + t + 1, head[COUNT] - 1, plan[WARMUP_ROWS])
        return len(times)

    return advance


def explain(time: int, bar: dict[str, float], last: int | None, required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at this bar, and what to do."""
    for name, value in bar.items():
        if (name not in OPTIONAL_FIELDS or name in required) and not 0.0 <= value < math.inf:
            return f"{name} is {value}", "leave out the features that need it, or the bar"
    if last is not None and time <= last:
        return f"the bar is not later than the last one ({iso_time(last)})", "give each bar once, in time order"
    prices = " ".join(f"{name} {bar[name]}" for name in BAR_FIELDS[:4])
    return f"{prices} are not a bar", "need 0 < low <= open, close <= high"


FINGERPRINT_NOW = source_fingerprint(__file__, "windows.py", "kernel.py")
KERNEL = Kernel(BARS, FINGERPRINT_NOW, make_plan, compile_advance(FINGERPRINT_NOW), explain)
