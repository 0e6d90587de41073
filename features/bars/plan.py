"""From the graphs of the selected features to a plan: a list of instructions over columns in scratch memory.

Scratch: a column of zeros, the constants, then the columns, each `BLOCK` rows. A column's place is used again after
its last reader, so that the whole lot stays in the processor's cache. Window operations on the same columns are done
in one go for all their windows, from a table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from features.bars.fields import BAR_FIELDS
from features.bars.graph import Node
from features.bars.instruction import CONSTANTS, DIRECT, INPUTS, INSTRUCTION, OP, STATE, TARGET
from features.bars.ops import Op
from features.column_tables import (
    BLOCK,
    FRONT,
    ZEROS,
    Room,
    Table,
    comoments_table,
    maxima_table,
    moments_table,
    totals_table,
)
from features.kernel import HEAD, Plan

INTERVAL_MS, WARMUP_ROWS, REQUIRED, CONSTANT_COUNT, FIELD_COUNT, INSTRUCTION_COUNT, TABLES = range(7)
"""Head of the plan; after it the fields (number, address), the instructions, the tables."""
FIRST = TABLES + 1

WINDOW_OPS: dict[Op, tuple[Op, ...]] = {
    **dict.fromkeys((Op.DEVIATION, Op.SCATTER), (Op.DEVIATION, Op.SCATTER)),
    **dict.fromkeys((Op.SCATTER_X, Op.COSCATTER, Op.SCATTER_Y), (Op.SCATTER_X, Op.COSCATTER, Op.SCATTER_Y)),
    Op.TOTAL: (Op.TOTAL,),
    Op.HIGHEST: (Op.HIGHEST,),
}
"""Operations over windows, with those that come out of the same run."""
TABLE_OF: dict[Op, Callable[..., Table]] = {
    Op.TOTAL: totals_table,
    Op.DEVIATION: moments_table,
    Op.SCATTER_X: comoments_table,
    Op.HIGHEST: maxima_table,
}


@dataclass
class Step:
    """One instruction before addresses are known."""

    op: Op
    inputs: tuple[Node, ...]
    outputs: list[object]
    """Nodes, or stand-ins for results nobody asked for; a single one where the step is not over windows."""
    constants: tuple[float, ...] = ()
    state: int = 0
    windows: tuple[int, ...] = ()
    row: int | None = None
    """Feature that it writes, None: a column in scratch."""


def order_steps(selected: Sequence[Node]) -> list[Step]:
    """Steps that make the selected features, every input before its readers."""
    needed: dict[Node, None] = {}

    def collect(node: Node) -> None:
        if node not in needed:
            for x in node.inputs:
                collect(x)
            needed[node] = None

    for node in selected:
        collect(node)
    runs: dict[tuple[Op, tuple[Node, ...]], dict[tuple[Op, int], Node]] = {}
    for node in needed:
        if node.op in WINDOW_OPS:
            run = runs.setdefault((WINDOW_OPS[node.op][0], node.inputs), {})
            run[node.op, int(node.constants[0])] = node
    steps: list[Step] = []
    for node in needed:
        if node.op is None:
            continue
        if node.op not in WINDOW_OPS:
            steps.append(Step(node.op, node.inputs, [node], node.constants, node.state))
            continue
        parts = WINDOW_OPS[node.op]
        run = runs.pop((parts[0], node.inputs), {})
        if run:
            windows = tuple(sorted({window for _, window in run}))
            outputs = [run.get((part, window), object()) for window in windows for part in parts]
            steps.append(Step(parts[0], node.inputs, outputs, windows=windows))
    return steps + write_features(steps, selected)


def write_features(steps: Sequence[Step], selected: Sequence[Node]) -> list[Step]:
    """Let the steps that make features write them out, and return copies for columns that are needed elsewhere too."""
    read = {x for step in steps for x in step.inputs} | {x for x in selected if selected.count(x) > 1}
    makers = {output: step for step in steps for output in step.outputs}
    copies = []
    for row, node in enumerate(selected):
        step = makers.get(node)
        if step is None or step.windows or node in read:
            copies.append(Step(Op.COPY, (node,), [object()], row=row))
        else:
            step.row = row
    return copies


def place_columns(steps: Sequence[Step], fields: Sequence[Node]) -> tuple[dict[object, int], int]:
    """Number of the column in scratch of each node, and how many there are; places are used again."""
    last_read: dict[object, int] = {}
    for number, step in enumerate(steps):
        last_read |= dict.fromkeys((*step.outputs, *step.inputs), number)
    places: dict[object, int] = {node: place for place, node in enumerate(fields)}
    free: list[int] = []
    count = len(places)
    for number, step in enumerate(steps):
        if step.row is None:
            for output in step.outputs:
                if not free:
                    free.append(count)
                    count += 1
                places[output] = free.pop()
        for node in dict.fromkeys((*step.inputs, *(step.outputs if step.row is None else ()))):
            if last_read[node] == number:
                free.append(places[node])
    return places, count


def compile_plan(selected: Sequence[Node], interval_ms: int, warmup: int) -> Plan:
    """The plan whose j-th output column is the j-th of `selected`."""
    steps = order_steps(selected)
    needed = frozenset().union(*(node.fields for node in selected))
    fields = {x.name: x for step in steps for x in step.inputs if x.op is None}
    places, count = place_columns(steps, list(fields.values()))
    constants: dict[tuple[float, ...], int] = {}
    size = ZEROS + BLOCK
    for step in steps:
        if step.constants not in constants:
            constants[step.constants] = size
            size += len(step.constants)
    columns_at = -(-size // 8) * 8
    work = columns_at + count * (FRONT + BLOCK)

    def address(node: object) -> int:
        return columns_at + places[node] * (FRONT + BLOCK) + FRONT

    state, scratch = HEAD, work
    code = np.zeros((len(steps), INSTRUCTION), dtype=np.int64)
    tables: list[int] = []
    tables_at = FIRST + 2 * len(fields) + code.size
    for line, step in zip(code, steps, strict=True):
        line[OP], line[STATE] = step.op, state
        line[CONSTANTS] = constants[step.constants]
        line[DIRECT] = step.row is not None
        line[INPUTS : INPUTS + len(step.inputs)] = [address(x) for x in step.inputs]
        state += step.state
        if step.windows:
            line[TARGET] = tables_at + len(tables)
            per_window = len(step.outputs) // len(step.windows)
            targets = [
                tuple(address(x) for x in step.outputs[i : i + per_window])
                for i in range(0, len(step.outputs), per_window)
            ]
            room = Room(work)
            table = TABLE_OF[step.op](step.windows, targets, address(step.inputs[0]), room)
            tables += table.numbers
            state += table.state
            scratch = max(scratch, room.end)
        else:
            line[TARGET] = address(step.outputs[0]) if step.row is None else step.row
    required = sum(1 << number for number, name in enumerate(BAR_FIELDS) if name in needed | {"volume"})
    loads = [number for name, node in fields.items() for number in (BAR_FIELDS.index(name), address(node))]
    head = [interval_ms, warmup, required, size - ZEROS - BLOCK, len(fields), len(steps), tables_at]
    plan = np.array([*head, *loads, *code.ravel(), *tables], dtype=np.int32)  # half of the cache that int64 would take
    return Plan(plan, np.array([x for values in constants for x in values], dtype=np.float64), state, scratch)
