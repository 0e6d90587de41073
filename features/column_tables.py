"""The tables that `features.columns` and `features.column_moments` work from: which blocks make up which window.

Every function takes the windows, the addresses in scratch where each window's results go, the first free address for
the levels' columns, and the rows of a block; it returns the table, the floats of state that the levels' history needs,
and the first address after the columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ZEROS = 8
"""Address in scratch of a column of zeros; what lies in front of it is zero too."""


@dataclass(frozen=True)
class Table:
    numbers: list[int]
    state: int
    end: int


@dataclass(frozen=True)
class Part:
    """A block of base^level values inside a window, `shift` rows before its newest."""

    level: int
    shift: int


def window_parts(window: int, base: int) -> list[Part]:
    """Blocks that together are the window, smallest and newest first: its digits to the base."""
    parts = []
    level, shift, rest = 0, 0, window
    while rest:
        for _ in range(rest % base):
            parts.append(Part(level, shift))
            shift += base**level
        rest //= base
        level += 1
    return parts


def covering_parts(window: int, base: int) -> list[Part]:
    """`base` blocks of the largest size that fits, which together cover the window."""
    level = 0
    while base ** (level + 1) <= window:
        level += 1
    size = base**level
    return [Part(level, min(j * size, window - size)) for j in range(base)]


def depths(windows: Sequence[Sequence[Part]], base: int) -> list[int]:
    """Rows of history that each level needs, for the windows and for the level above."""
    levels = 1 + max(part.level for parts in windows for part in parts)
    return [
        max(
            [part.shift for parts in windows for part in parts if part.level == level]
            + [(base - 1) * base**level if level + 1 < levels else 0]
        )
        for level in range(levels)
    ]


class Room:
    """Hands out columns of `block` rows with history in front of them."""

    def __init__(self, start: int, block: int) -> None:
        self.end = start
        self.block = block

    def column(self, depth: int = 0) -> int:
        """Address of a new column's first row."""
        address = self.end + depth
        self.end = address + self.block
        return address


def totals_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], start: int, block: int) -> Table:
    """For `columns.totals`: one target a window."""
    split = [window_parts(window, 4) for window in windows]
    depth = depths(split, 4)
    room = Room(start, block)
    columns = [room.column(rows) for rows in depth]
    numbers = [len(depth), len(windows), *(number for pair in zip(columns, depth, strict=True) for number in pair)]
    for parts, (target,) in zip(split, targets, strict=True):
        addresses = [columns[part.level] - part.shift for part in parts]
        addresses += [ZEROS] * (-len(addresses) % 3)
        numbers += [target, len(addresses) // 3, *addresses]
    return Table(numbers, sum(depth), room.end)


def maxima_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], start: int, block: int) -> Table:
    """For `columns.maxima`: one target a window."""
    split = [covering_parts(window, 4) for window in windows]
    depth = depths(split, 4)
    room = Room(start, block)
    columns = [room.column(rows) for rows in depth]
    numbers = [len(depth), len(windows), *(number for pair in zip(columns, depth, strict=True) for number in pair)]
    for parts, (target,) in zip(split, targets, strict=True):
        numbers += [target, *(columns[part.level] - part.shift for part in parts)]
    return Table(numbers, sum(depth), room.end)


def moments_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], start: int, block: int) -> Table:
    """For `column_moments.moments`: two targets a window, deviation and squares."""
    split = [window_parts(window, 2) for window in windows]
    depth = depths(split, 2)
    room = Room(start, block)
    shared = value_depth(split, depth)
    numbers = [len(depth), len(windows), room.column(), room.column(), room.column(shared), shared, ZEROS, ZEROS, 0]
    for rows in depth[1:]:
        numbers += [room.column(rows), room.column(rows), rows]
    for window, parts, (deviation, squares) in zip(windows, split, targets, strict=True):
        numbers += [deviation, squares, window, len(parts)]
        numbers += [number for part in parts for number in (part.level, part.shift)]
    return Table(numbers, shared + 2 * sum(depth[1:]), room.end)


def comoments_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], start: int, block: int) -> Table:
    """For `column_moments.comoments`: three targets a window, squares of x, products, squares of y."""
    split = [window_parts(window, 2) for window in windows]
    depth = depths(split, 2)
    room = Room(start, block)
    shared = value_depth(split, depth)
    numbers = [len(depth), len(windows), *(room.column() for _ in range(5))]
    numbers += [room.column(shared), room.column(shared), shared, *[ZEROS] * 5, 0]
    for rows in depth[1:]:
        numbers += [*(room.column(rows) for _ in range(5)), rows]
    for parts, sums in zip(split, targets, strict=True):
        numbers += [*sums, len(parts)]
        numbers += [number for part in parts for number in (part.level, part.shift)]
    return Table(numbers, 2 * shared + 5 * sum(depth[1:]), room.end)


def value_depth(split: Sequence[Sequence[Part]], depth: Sequence[int]) -> int:
    """Rows of history of the values themselves, which every level and every part of a window looks back at."""
    halves = 2 ** (len(depth) - 2) if len(depth) > 1 else 0
    return max(halves, max(part.shift for parts in split for part in parts))
