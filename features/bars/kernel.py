"""The one compiled function that turns bars into feature rows: a batch of any length, or a single bar of a live feed.

`advance` is the only entry point. It cuts the bars into blocks and runs the plan's instructions on each, one column
after the other. Batch and stream are the same machine code called with more bars or fewer, and every value comes from
the same operations in the same order, on one value or on a vector of them: they agree bit for bit.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

from data_pipeline.schema import iso_time
from features.bars.catalogue import BARS
from features.bars.edge import edge_column
from features.bars.fields import BAR_FIELDS, OPTIONAL_FIELDS
from features.bars.filters import filter_column
from features.bars.graphs import bar_graphs
from features.bars.instruction import CONSTANTS, DIRECT, INPUTS, INSTRUCTION, OP, STATE, TARGET
from features.bars.liquidity import liquidity_column
from features.bars.ops import Op
from features.bars.pieces import piece_column
from features.bars.plan import (
    CONSTANT_COUNT,
    FIELD_COUNT,
    FIRST,
    INSTRUCTION_COUNT,
    INTERVAL_MS,
    REQUIRED,
    WARMUP_ROWS,
    compile_plan,
)
from features.bars.price import price_column
from features.bars.recurrences import recurrence_column
from features.bars.series import clock, series_column
from features.bars.statistics import statistic_column
from features.bars.volatility import volatility_column
from features.column_moments import comoments, moments
from features.column_tables import BLOCK, ZEROS
from features.columns import copy, maxima, next_place, totals
from features.compiled import COLUMN, FORMULA
from features.config import BarParameters
from features.kernel import COUNT, FINGERPRINT, HEAD, LAST_TIME, Kernel, Plan, blank_warmup, head_of, source_fingerprint
from features.spec import FeatureSpec
from features.windows import window_sum

PLACE = HEAD - 1
"""Slot of the state's head that is left to the kind: how many rows stand in the room behind the histories."""


@njit(**FORMULA)
def bar_fits(columns: np.ndarray, t: int, required: int) -> bool:
    """Prices finite, positive and ordered; volume and every required optional field finite and not negative."""
    o, h, low, c = columns[0, t], columns[1, t], columns[2, t], columns[3, t]
    fits = (low > 0.0) & (low <= o) & (o <= h) & (h < math.inf) & (low <= c) & (c <= h)
    for number in range(4, 9):
        there = (columns[number, t] >= 0.0) & (columns[number, t] < math.inf)
        fits &= there | (((required >> number) & 1) == 0)
    return fits


@njit(**COLUMN)
def block_end(times: np.ndarray, columns: np.ndarray, start: int, plan: np.ndarray) -> int:
    """End of the block that starts with the good bar at `start`: no later than the next bad bar or gap."""
    stop = min(start + BLOCK, len(times))
    interval, required = plan[INTERVAL_MS], plan[REQUIRED]
    good = 0
    for t in range(np.uint64(start + 1), np.uint64(stop)):  # mostly nothing is wrong: look at all, in vectors
        good += (times[t] == times[t - np.uint64(1)] + interval) & bar_fits(columns, t, required)
    if good == stop - start - 1:
        return stop
    t = start + 1
    while times[t] == times[t - 1] + interval and bar_fits(columns, t, required):
        t += 1
    return t


@njit(**COLUMN)
def window_columns(m: np.ndarray, n: int, plan: np.ndarray, i: int, state: np.ndarray, place: int, count: int) -> None:
    """Run one instruction over windows."""
    op, x, s = plan[i + OP], plan[i + INPUTS], plan[i + STATE]
    if op == Op.TOTAL:
        totals(m, plan, plan[i + TARGET], x, state, s, place, n)
    elif op == Op.DEVIATION:
        moments(m, plan, plan[i + TARGET], x, state, s, place, n)
    elif op == Op.SCATTER_X:
        comoments(m, plan, plan[i + TARGET], x, plan[i + INPUTS + 1], state, s, place, n)
    elif op == Op.HIGHEST:
        maxima(m, plan, plan[i + TARGET], x, state, s, place, n)
    elif op == Op.LONG_TOTAL:
        window = int(m[plan[i + CONSTANTS]])
        slot = count % window
        for t in range(n):
            m[plan[i + TARGET] + t] = window_sum(state, s, window, slot, m[x + t])
            slot = slot + 1 if slot + 1 < window else 0


@njit(**COLUMN)
def run_block(
    times: np.ndarray,
    start: int,
    n: int,
    plan: np.ndarray,
    state: np.ndarray,
    m: np.ndarray,
    features: np.ndarray,
    stride: int,
    row: int,
    place: int,
    count: int,
) -> None:
    """Run all instructions on `n` bars whose fields lie in scratch; feature j goes to features[j * stride + row].

    `place` is that of the windows (`features.columns`); `count` bars of the stretch came before.
    """
    code = FIRST + 2 * plan[FIELD_COUNT]
    for i in range(code, code + plan[INSTRUCTION_COUNT] * INSTRUCTION, INSTRUCTION):
        at = np.uint64(i)
        op, d, target = plan[at], plan[at + np.uint64(TARGET)], m
        if plan[at + np.uint64(DIRECT)]:
            target, d = features, d * stride + row
        if op < Op.END_OF_WINDOWS:
            window_columns(m, n, plan, i, state, place, count)
        elif op == Op.CLOCK:
            period, offset = int(m[plan[i + CONSTANTS]]), int(m[plan[i + CONSTANTS] + 1])
            clock(target, d, n, times, start, plan[INTERVAL_MS] + offset, period)
        elif op < Op.END_OF_SERIES:
            series_column(op, m, target, d, n, plan, i, state)
        elif op < Op.END_OF_PRICE:
            price_column(op, m, target, d, n, plan, i)
        elif op < Op.END_OF_VOLATILITY:
            volatility_column(op, m, target, d, n, plan, i)
        elif op < Op.END_OF_LIQUIDITY:
            liquidity_column(op, m, target, d, n, plan, i)
        elif op < Op.END_OF_RECURRENCES:
            recurrence_column(op, m, target, d, n, plan, i, state)
        elif op < Op.END_OF_FILTERS:
            filter_column(op, m, target, d, n, plan, i, state)
        elif op < Op.END_OF_PIECES:
            piece_column(op, m, target, d, n, plan, i)
        elif op < Op.END_OF_STATISTICS:
            statistic_column(op, m, target, d, n, plan, i)
        else:
            edge_column(op, m, target, d, n, plan, i)


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
        features = out.reshape(-1)
        scratch[: ZEROS + BLOCK] = 0.0
        copy(scratch, ZEROS + BLOCK, settings, 0, plan[CONSTANT_COUNT])
        start = 0
        while start < len(times):
            started = head[COUNT] > 0
            if not bar_fits(columns, start, plan[REQUIRED]) or (started and times[start] <= head[LAST_TIME]):
                return start
            if not started or times[start] != head[LAST_TIME] + plan[INTERVAL_MS]:
                state[:] = 0.0
                head[FINGERPRINT] = fingerprint
            stop = block_end(times, columns, start, plan)
            n = stop - start
            for f in range(plan[FIELD_COUNT]):
                number, place = plan[FIRST + 2 * f], plan[FIRST + 2 * f + 1]
                for t in range(n):
                    scratch[place + t] = columns[number, start + t]
            run_block(
                times, start, n, plan, state, scratch, features, out.shape[1], first + start, head[PLACE], head[COUNT]
            )
            blank_warmup(out, first + start, first + stop, head[COUNT], plan[WARMUP_ROWS])
            head[PLACE] = next_place(head[PLACE], n)
            head[COUNT] += n
            head[LAST_TIME] = times[stop - 1]
            start = stop
        return start

    return advance


def make_plan(parameters: BarParameters, selected: Sequence[FeatureSpec]) -> Plan:
    """Plan of `advance` for the selected features."""
    graphs = bar_graphs(parameters)
    warmup = max(spec.warmup for spec in selected)
    return compile_plan([graphs[spec.name] for spec in selected], parameters.interval_ms, warmup)


def explain(time: int, bar: dict[str, float], last: int | None, required: set[str]) -> tuple[str, str]:
    """Why `advance` stopped at this bar, and what to do."""
    for name, value in bar.items():
        if (name not in OPTIONAL_FIELDS or name in required) and not 0.0 <= value < math.inf:
            return f"{name} is {value}", "leave out the features that need it, or the bar"
    if last is not None and time <= last:
        return f"the bar is not later than the last one ({iso_time(last)})", "give each bar once, in time order"
    prices = " ".join(f"{name} {bar[name]}" for name in BAR_FIELDS[:4])
    return f"{prices} are not a bar", "need 0 < low <= open, close <= high"


SOURCES = (
    "kernel.py",
    "columns.py",
    "column_moments.py",
    "column_tables.py",
    "compiled.py",
    "windows.py",
    "maths.py",
    "vectors.py",
    "ratios.py",
)
SOURCE_FINGERPRINT = source_fingerprint(__file__, *SOURCES)
KERNEL = Kernel(BARS, SOURCE_FINGERPRINT, make_plan, compile_advance(SOURCE_FINGERPRINT), explain)
