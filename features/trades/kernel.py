"""The one compiled function that turns trades into feature rows: a whole tape, or a single trade of a live feed."""

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from data_pipeline.schema import iso_time
from features.kernel import COUNT, FINGERPRINT, LAST_TIME, Kernel, blank_warmup, head_of, source_fingerprint
from features.maths import log
from features.trades.catalogue import TRADES
from features.trades.flow import flow_step, size_step
from features.trades.impact import impact_step
from features.trades.layout import (
    BLOCKS,
    FIRST_LAG,
    LAGS,
    LAST_LOG_PRICE,
    LAST_PRICE,
    LAST_RETURN,
    LONG,
    LONG_BUYS,
    LONG_SELLS,
    LONG_SIGNS,
    SHORT,
    SHORT_BUYS,
    SHORT_SELLS,
    SILENCE_NS,
    WARMUP,
    Trade,
    make_plan,
)
from features.trades.signs import sign_step
from features.trades.timing import timing_step
from features.windows import window_sum


@njit(error_model="numpy", forceinline=True)
def trade_fits(columns: np.ndarray, t: int) -> bool:
    """Price positive, size not negative, both finite; the flag 0 or 1."""
    price, qty, flag = columns[0, t], columns[1, t], columns[2, t]
    return 0.0 < price < math.inf and 0.0 <= qty < math.inf and (flag == 0.0 or flag == 1.0)


@njit(error_model="numpy", forceinline=True)
def take_trade(
    time_ns: int, last_ns: int, seen: int, columns: np.ndarray, t: int, plan: np.ndarray, state: np.ndarray
) -> Trade:
    """The trade at `t` with what the state remembers of the one before; a stretch's first has itself before it."""
    price, qty = columns[0, t], columns[1, t]
    sign = 1.0 - 2.0 * columns[2, t]
    log_price = log(price)
    first = seen == 0
    log_return = 0.0 if first else log_price - state[LAST_LOG_PRICE]
    change = 0.0 if first else price - state[LAST_PRICE]
    elapsed_ms = 0.0 if first else (time_ns - last_ns) / 1e6
    last_return = state[LAST_RETURN]
    state[LAST_PRICE] = price
    state[LAST_LOG_PRICE] = log_price
    state[LAST_RETURN] = log_return
    short_slot, long_slot = seen % plan[SHORT], seen % plan[LONG]
    buy = qty if sign > 0.0 else 0.0
    return Trade(
        time_ns,
        price,
        qty,
        sign,
        change,
        log_return,
        last_return,
        elapsed_ms,
        window_sum(state, plan[BLOCKS + SHORT_BUYS], plan[SHORT], short_slot, buy),
        window_sum(state, plan[BLOCKS + SHORT_SELLS], plan[SHORT], short_slot, qty - buy),
        window_sum(state, plan[BLOCKS + LONG_BUYS], plan[LONG], long_slot, buy),
        window_sum(state, plan[BLOCKS + LONG_SELLS], plan[LONG], long_slot, qty - buy),
        window_sum(state, plan[BLOCKS + LONG_SIGNS], plan[LONG], long_slot, sign),
        seen,
        short_slot,
        long_slot,
    )


@njit(error_model="numpy", forceinline=True)
def step(trade: Trade, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray) -> None:
    """Write every feature of the catalogue, in its order, into `row`, and move the state past `trade`."""
    column = flow_step(trade, plan, settings, state, row, 0)
    column = size_step(trade, plan, state, row, column)
    column = sign_step(trade, plan, state, row, column)
    column = timing_step(trade, plan, settings, state, row, column)
    impact_step(trade, plan, settings, state, row, column)


def compile_advance(fingerprint: int) -> Callable[..., int]:
    """Compile `advance` (see `features.kernel`) for one state of the sources, which it also marks the state with."""

    @njit(cache=True, error_model="numpy")
    def advance(
        times: np.ndarray,
        columns: np.ndarray,
        plan: np.ndarray,
        settings: np.ndarray,
        state: np.ndarray,
        scratch: np.ndarray,
        out: np.ndarray,
        first: int,
    ) -> int:
        head = head_of(state)
        selected = plan[FIRST_LAG + plan[LAGS] :]
        for t in range(len(times)):
            started = head[COUNT] > 0
            if not trade_fits(columns, t) or (started and times[t] < head[LAST_TIME]):
                return t
            if not started or times[t] - head[LAST_TIME] > plan[SILENCE_NS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
            trade = take_trade(times[t], head[LAST_TIME], head[COUNT], columns, t, plan, state)
            step(trade, plan, settings, state, scratch)
            head[COUNT] += 1
            head[LAST_TIME] = times[t]
            for i in range(len(selected)):
                out[i, first + t] = scratch[selected[i]]
            blank_warmup(out, first + t, first + t + 1, head[COUNT] - 1, plan[WARMUP])
        return len(times)

    return advance


def explain(time: int, trade: dict[str, float], last: int | None, required: set[str]) -> tuple[str, str]:  # noqa: ARG001
    """Why `advance` stopped at this trade, and what to do."""
    if not 0.0 < trade["price"] < math.inf:
        return f"price is {trade['price']}", "leave out trades without a price"
    if not 0.0 <= trade["qty"] < math.inf:
        return f"qty is {trade['qty']}", "give a finite size, not negative"
    if trade["buyer_is_maker"] not in (0.0, 1.0):
        return (
            f"buyer_is_maker is {trade['buyer_is_maker']}",
            "give 1 where the seller was the taker, 0 where the buyer",
        )
    return f"the trade comes before the last one ({iso_time((last or 0) // 1_000_000)})", "give trades in time order"


SOURCES = ("kernel.py", "windows.py", "maths.py", "ratios.py", "vectors.py")
SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(TRADES, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
