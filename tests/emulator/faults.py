"""What an exchange is known to do wrong, planned by the request number or drawn from a seeded chance."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "429",
    "418",
    "500",
    "502",
    "503",
    "504",
    "timeout",
    "reset_before",
    "reset_mid_body",
    "truncated_json",
    "html",
    "duplicate_bar",
    "missing_bars",
    "misaligned_bar",
    "microseconds",
    "short_rows",
    "empty_list",
]


@dataclass
class Fault:
    """Strikes the requests number `after` to `after + count - 1` among those whose path matches `path`."""

    kind: FaultKind
    path: str = "kline|candles"
    after: int = 0
    count: int = 1
    retry_after: int = 1
    """Seconds named in the Retry-After header of a 429 or 418."""
    seen: int = 0

    def strikes(self, path: str) -> bool:
        """Count the request if it matches, and say whether it is to fail."""
        if not re.search(self.path, path):
            return False
        number = self.seen
        self.seen += 1
        return self.after <= number < self.after + self.count


@dataclass
class FaultPlan:
    """Planned faults first; then, with `chance`, one of `kinds` drawn for each kline request."""

    faults: list[Fault] = field(default_factory=list)
    chance: float = 0.0
    kinds: tuple[FaultKind, ...] = ()
    seed: int = 0
    struck: list[str] = field(default_factory=list)
    """Kinds in the order in which they struck, for tests to assert that the fault really happened."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def add(self, *faults: Fault) -> None:
        """Plan more faults."""
        self.faults.extend(faults)

    def next(self, path: str) -> Fault | None:
        """The fault for this request, if any."""
        struck = [fault for fault in self.faults if fault.strikes(path)]
        fault = struck[0] if struck else None
        if fault is None and self.chance and re.search("kline|candles", path) and self._random.random() < self.chance:
            fault = Fault(self._random.choice(self.kinds), retry_after=0)
        if fault is not None:
            self.struck.append(fault.kind)
        return fault
