"""The one compiled function that turns a market's bars and its leader's into feature rows, one bar or millions."""

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from data_pipeline.schema import iso_time
from features.cross.catalogue import CROSS, OPTIONAL_FIELDS
from features.cross.comovement import comovement_step
from features.cross.layout import (
    BLOCKS,
    FIRST_HORIZON,
    HORIZONS,
    INTERVAL_MS,
    LAST_LEADER_LOG_CLOSE,
    LAST_LEADER_RETURN,
    LAST_LOG_CLOSE,
    LAST_RETURN,
    LEADER_SQUARES,
    LONG,
    REQUIRED,
    RING,
    SHORT,
    SQUARES,
    WARMUP,
    Pair,
    make_plan,
)
from features.cross.relation import flow_step, relation_step
from features.kernel import COUNT, FINGERPRINT, LAST_TIME, Kernel, blank_warmup, head_of, source_fingerprint
from features.maths import log
from features.windows import window_sum


@njit(error_model="numpy", forceinline=True)
def pair_fits(columns: np.ndarray, t: int, required: int) -> bool:
    """Both closes finite and positive; volumes and every required optional field finite and not negative."""
    fits = True
    for bar in (0, 3):
        fits = fits and 0.0 < columns[bar, t] < math.inf and 0.0 <= columns[bar + 1, t] < math.inf
        if (required >> (bar + 2)) & 1:
            fits = fits and 0.0 <= columns[bar + 2, t] < math.inf
    return fits


@njit(error_model="numpy", forceinline=True)
def take_pair(columns: np.ndarray, t: int, count: int, plan: np.ndarray, state: np.ndarray) -> Pair:
    """The bars at `t` with what the state remembers of those before; a stretch's first have themselves before them."""
    log_close, leader_log_close = log(columns[0, t]), log(columns[3, t])
    first = count == 0
    r = 0.0 if first else log_close - state[LAST_LOG_CLOSE]
    lead = 0.0 if first else leader_log_close - state[LAST_LEADER_LOG_CLOSE]
    last_return, last_leader_return = state[LAST_RETURN], state[LAST_LEADER_RETURN]
    state[LAST_LOG_CLOSE] = log_close
    state[LAST_LEADER_LOG_CLOSE] = leader_log_close
    state[LAST_RETURN] = r
    state[LAST_LEADER_RETURN] = lead
    long, slot = plan[LONG], count % plan[LONG]
    return Pair(
        log_close,
        leader_log_close,
        r,
        lead,
        last_return,
        last_leader_return,
        columns[1, t],
        2.0 * columns[2, t] - columns[1, t],
        columns[4, t],
        2.0 * columns[5, t] - columns[4, t],
        window_sum(state, plan[BLOCKS + SQUARES], long, slot, r * r),
        window_sum(state, plan[BLOCKS + LEADER_SQUARES], long, slot, lead * lead),
        count % plan[SHORT],
        slot,
        count % plan[RING],
    )


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
            if not pair_fits(columns, t, plan[REQUIRED]) or (started and times[t] <= head[LAST_TIME]):
                return t
            if not started or times[t] != head[LAST_TIME] + plan[INTERVAL_MS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
            pair = take_pair(columns, t, head[COUNT], plan, state)
            column = comovement_step(pair, plan, state, scratch, 0)
            column = flow_step(pair, plan, state, scratch, column)
            relation_step(pair, plan, state, scratch, column)
            head[COUNT] += 1
            head[LAST_TIME] = times[t]
            for i in range(len(selected)):
                out[i, first + t] = scratch[selected[i]]
            blank_warmup(out, first + t, first + t + 1, head[COUNT] - 1, plan[WARMUP])
        return len(times)

    return advance


def explain(time: int, pair: dict[str, float], last: int | None, required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at these bars, and what to do."""
    for name, value in pair.items():
        if (name not in OPTIONAL_FIELDS or name in required) and not 0.0 <= value < math.inf:
            return f"{name} is {value}", "leave out the features that need it, or the bar"
    if last is not None and time <= last:
        return f"the bar is not later than the last one ({iso_time(last)})", "give each bar once, in time order"
    return f"close {pair['close']} and leader_close {pair['leader_close']} are not prices", "need prices above 0"


SOURCES = ("kernel.py", "windows.py", "maths.py", "ratios.py", "vectors.py")
SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(CROSS, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
