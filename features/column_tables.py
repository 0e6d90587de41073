"""The tables that `features.columns` and `features.column_moments` work from: which blocks make up which window.

Every function takes the windows, the addresses in scratch where each window's results go, the address of the column
that they are made from, and room for the columns in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

BLOCK = 512
"""Rows that are worked on at a time: long enough to forget what starting a loop costs, short enough for the cache."""
SPARE = 16
"""Rows that there is room for behind the histories in the state: so many live rows come before they are moved."""
FRONT = 8
"""Rows of history that every column of a series has room for in front of it: the sums of four need three."""
ZEROS = FRONT
"""Address in scratch of a column of zeros; what lies in front of it is zero too."""
LONGEST_WINDOW = 1_023
"""Longest window of a table."""
LONGEST_HISTORY = 768
"""No level of such a window needs more: what the window leaves after its largest block, or half a block of the top."""
LANE = LONGEST_HISTORY + BLOCK + FRONT
"""Distance between the columns that belong together in `features.column_moments`, history included. A fixed one tells
the compiler that they do not overlap; no multiple of 512, else they would share the same few places of the cache."""


@dataclass(frozen=True)
class Table:
    """Numbers for the plan, and the floats of state that the history of all levels needs."""

    numbers: list[int]
    state: int


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
    """Free scratch from `start` on, handed out as columns of `BLOCK` rows with history in front of them."""

    def __init__(self, start: int) -> None:
        self.end = start

    def column(self, depth: int = 0) -> int:
        """Address of a new column's first row."""
        address = -(-(self.end + depth) // 8) * 8  # vectors of eight rows then lie within a cache line
        self.end = address + BLOCK
        return address

    def lanes(self, count: int) -> int:
        """Address of the first row of the first of `count` new columns, `LANE` apart."""
        address = self.end + LONGEST_HISTORY
        self.end += count * LANE
        return address


def totals_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], x: int, room: Room) -> Table:
    """For `columns.totals`: one target a window."""
    split = [window_parts(window, 4) for window in windows]
    levels = _Levels(depths(split, 4), x, room)
    numbers = levels.head(len(windows))
    for parts, (target,) in zip(split, targets, strict=True):
        sixes = [parts[i : i + 6] for i in range(0, len(parts), 6)]
        numbers += [target, len(sixes)]
        for six in sixes:
            numbers += [*levels.in_scratch(six), *[ZEROS] * (6 - len(six))]
            numbers += [*levels.in_state(six), *[0] * (6 - len(six))]
    return Table(numbers, levels.state)


def maxima_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], x: int, room: Room) -> Table:
    """For `columns.maxima`: one target a window."""
    split = [covering_parts(window, 4) for window in windows]
    levels = _Levels(depths(split, 4), x, room)
    numbers = levels.head(len(windows))
    for parts, (target,) in zip(split, targets, strict=True):
        numbers += [target, *levels.in_scratch(parts), *levels.in_state(parts)]
    return Table(numbers, levels.state)


class _Levels:
    """Where the columns of the levels lie, the first of which is `x` itself.

    The state starts with as many zeros as there is room for rows, then come the histories, with room behind each.
    """

    def __init__(self, depth: Sequence[int], x: int, room: Room) -> None:
        self.depth = depth
        self.scratch = [x, *(room.column(rows) for rows in depth[1:])]
        ends = list(accumulate(rows + SPARE for rows in depth))
        self.places = ends  # the zeros in front, less the room behind
        self.state = SPARE + ends[-1]

    def head(self, windows: int) -> list[int]:
        """Start of the table."""
        levels = zip(self.scratch, self.places, self.depth, strict=True)
        return [len(self.depth), windows, *(number for level in levels for number in level)]

    def in_scratch(self, parts: Sequence[Part]) -> list[int]:
        """Addresses of the blocks in scratch."""
        return [self.scratch[part.level] - part.shift for part in parts]

    def in_state(self, parts: Sequence[Part]) -> list[int]:
        """Addresses of the blocks in the state, from the instruction's own place on."""
        return [self.places[part.level] - part.shift for part in parts]


def moments_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], _: int, room: Room) -> Table:
    """For `column_moments.moments`: two targets a window, deviation and squares."""
    return _lanes_table(windows, targets, 1, 2, room)


def comoments_table(windows: Sequence[int], targets: Sequence[tuple[int, ...]], _: int, room: Room) -> Table:
    """For `column_moments.comoments`: three targets a window, squares of x, products, squares of y."""
    return _lanes_table(windows, targets, 2, 5, room)


def _lanes_table(
    windows: Sequence[int], targets: Sequence[tuple[int, ...]], values: int, lanes: int, room: Room
) -> Table:
    """Lanes of the window in hand, of the values, and of each level above single values."""
    split = [window_parts(window, 2) for window in windows]
    depth = depths(split, 2)
    halves = 2 ** (len(depth) - 2) if len(depth) > 1 else 0
    shared = max(halves, max(part.shift for parts in split for part in parts))
    numbers = [len(depth), len(windows), room.lanes(lanes), room.lanes(values), shared]
    for rows in depth[1:]:
        numbers += [room.lanes(lanes), rows]
    for window, parts, results in zip(windows, split, targets, strict=True):
        numbers += [*results, window, len(parts)]
        numbers += [number for part in parts for number in (part.level, part.shift)]
    return Table(numbers, values * (shared + SPARE) + lanes * sum(rows + SPARE for rows in depth[1:]))
