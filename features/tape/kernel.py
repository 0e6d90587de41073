"""The one compiled function that turns a sequence of trades and quotes into feature rows.

A trade's realised spread needs the mid some time after it. It waits in a queue until an event later than that time
arrives; the mid before this event is the one that stood then. So a row knows no more than the events up to it.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

from features.config import TapeParameters
from features.kernel import COUNT, FINGERPRINT, HEAD, LAST_TIME, Kernel, Plan, blank_warmup, head_of, source_fingerprint
from features.quotes.touch import ratio
from features.spec import FeatureSpec
from features.tape.catalogue import TAPE, tape_catalogue

# The plan, int64; its settings are the weight of the newest trade in the averages.
WARMUP, MAX_SILENCE_NS, DELAY_NS, CAPACITY, SELECTED = range(5)
FIRST_COLUMN = 5

# Behind the state's head: touch, last effective spread, fading sums of the trades' quantity and quantity × spread.
BID, ASK, LAST_EFFECTIVE, QTY, EFFECTIVE, LATER_QTY, REALISED, IMPACT = range(HEAD, HEAD + 8)
# The queue: a ring of `CAPACITY` trades, the oldest at QUEUE_FIRST. Its times and the two counters are int64.
QUEUE_FIRST, QUEUE_COUNT = range(HEAD + 8, HEAD + 10)
QUEUE = HEAD + 10
DUE, SIGN, PRICE, MID, SIZE = range(5)
ENTRY = 5
SOURCES = ("kernel.py", "quotes/touch.py")


def make_plan(p: TapeParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """The plan of `advance`."""
    names = [spec.name for spec in tape_catalogue(p)]
    warmup = max(spec.warmup for spec in selected)
    columns = [names.index(spec.name) for spec in selected]
    settings = [warmup, p.max_silence_ms * 1_000_000, p.delay_ms * 1_000_000, p.most_waiting, len(selected)]
    plan = np.array([*settings, *columns], dtype=np.int64)
    return Plan(plan, np.array([2.0 / (p.span + 1)]), QUEUE + ENTRY * p.most_waiting, scratch_size=len(names))


@njit(error_model="numpy", forceinline=True)
def positive(x: float) -> bool:
    """Whether a number is above 0 and finite."""
    return 0.0 < x < math.inf


@njit(error_model="numpy", forceinline=True)
def row_fits(columns: np.ndarray, t: int) -> bool:
    """A trade has a positive price, a quantity >= 0 and a flag; a quote may lack a side."""
    if math.isnan(columns[2, t]):
        return True
    flag = columns[4, t]
    return positive(columns[2, t]) and 0.0 <= columns[3, t] < math.inf and (flag == 0.0 or flag == 1.0)


@njit(error_model="numpy", forceinline=True)
def settle(time: int, plan: np.ndarray, weight: float, state: np.ndarray) -> None:
    """Take trades that are due before `time` out of the queue, at the mid that stands."""
    words = state.view(np.int64)
    mid = 0.5 * (state[BID] + state[ASK])
    while words[QUEUE_COUNT] > 0:
        entry = QUEUE + ENTRY * words[QUEUE_FIRST]
        if words[entry + DUE] >= time:
            break
        scale = 2e4 * state[entry + SIGN] / state[entry + MID]
        average(state, LATER_QTY, weight, state[entry + SIZE])
        average(state, REALISED, weight, state[entry + SIZE] * scale * (state[entry + PRICE] - mid))
        average(state, IMPACT, weight, state[entry + SIZE] * scale * (mid - state[entry + MID]))
        words[QUEUE_FIRST] = (words[QUEUE_FIRST] + 1) % plan[CAPACITY]
        words[QUEUE_COUNT] -= 1


@njit(error_model="numpy", forceinline=True)
def average(state: np.ndarray, at: int, weight: float, value: float) -> None:
    """Move an exponential average towards `value`."""
    state[at] += weight * (value - state[at])


@njit(error_model="numpy", forceinline=True)
def take_trade(time: int, columns: np.ndarray, t: int, plan: np.ndarray, weight: float, state: np.ndarray) -> None:
    """Take in a trade: its effective spread now, the rest when its delay has passed.

    When the queue is full the oldest trade leaves it without a trace.
    """
    words = state.view(np.int64)
    price, size = columns[2, t], columns[3, t]
    sign = 1.0 - 2.0 * columns[4, t]
    mid = 0.5 * (state[BID] + state[ASK])
    state[LAST_EFFECTIVE] = 2e4 * sign * (price - mid) / mid
    average(state, QTY, weight, size)
    average(state, EFFECTIVE, weight, size * state[LAST_EFFECTIVE])
    if words[QUEUE_COUNT] == plan[CAPACITY]:
        words[QUEUE_FIRST] = (words[QUEUE_FIRST] + 1) % plan[CAPACITY]
        words[QUEUE_COUNT] -= 1
    entry = QUEUE + ENTRY * ((words[QUEUE_FIRST] + words[QUEUE_COUNT]) % plan[CAPACITY])
    words[entry + DUE] = time + plan[DELAY_NS]
    state[entry + SIGN] = sign
    state[entry + PRICE] = price
    state[entry + MID] = mid
    state[entry + SIZE] = size
    words[QUEUE_COUNT] += 1


@njit(error_model="numpy", forceinline=True)
def write_row(state: np.ndarray, row: np.ndarray) -> None:
    """Every feature of the catalogue, in its order."""
    row[0] = state[LAST_EFFECTIVE]
    row[1] = ratio(state[EFFECTIVE], state[QTY])
    row[2] = ratio(state[REALISED], state[LATER_QTY])
    row[3] = ratio(state[IMPACT], state[LATER_QTY])


def compile_advance(fingerprint: int) -> Callable[..., int]:
    """Compile `advance` (see `features.kernel`) for one state of the sources."""

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
        """Take in trades and quotes `columns` float64 (5, T), in the order of `TAPE_FIELDS`.

        A longer silence than the parameters allow resets the state. Rows before the first quote with both sides give
        NaN and begin nothing.
        """
        head = head_of(state)
        weight = settings[0]
        for t in range(len(times)):
            if not row_fits(columns, t) or (head[COUNT] > 0 and times[t] < head[LAST_TIME]):
                return t
            is_quote = math.isnan(columns[2, t])
            whole = is_quote and positive(columns[0, t]) and positive(columns[1, t])
            if head[COUNT] == 0 or times[t] - head[LAST_TIME] > plan[MAX_SILENCE_NS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
                if not whole:
                    out[:, first + t] = np.nan
                    continue
            settle(times[t], plan, weight, state)
            if whole:
                state[BID] = columns[0, t]
                state[ASK] = columns[1, t]
            elif not is_quote:
                take_trade(times[t], columns, t, plan, weight, state)
            write_row(state, scratch)
            for i in range(plan[SELECTED]):
                out[i, first + t] = scratch[plan[FIRST_COLUMN + i]]
            blank_warmup(out, first + t, first + t + 1, head[COUNT], plan[WARMUP])
            head[COUNT] += 1
            head[LAST_TIME] = times[t]
        return len(times)

    return advance


def explain(time: int, values: dict[str, float], last_time: int | None, _required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at this row, and what to do."""
    if last_time is not None and time < last_time:
        return f"time {time} ns is earlier than the last row's ({last_time} ns)", "merge by time (features.tape.merge)"
    trade = ", ".join(f"{name} {values[name]}" for name in TAPE.fields[2:])
    return f"{trade} is no trade", "give a positive price, a quantity of 0 or more and a flag of 0 or 1"


SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(TAPE, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
