"""The bounded queue between the websocket and the disk: what does not fit is dropped, counted, and said in the log."""

from __future__ import annotations

from collections import deque
from typing import Any


class EventQueue:
    """(local_ns, message) pairs in the order of arrival, at most `capacity` of the exchange's.

    Records of the recorder always fit: they are few, and losing one would make the log say something untrue.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.dropped = 0
        self.highest = 0
        self._items: deque[tuple[int, dict[str, Any]]] = deque()
        self._dropped_now = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, local_ns: int, message: dict[str, Any]) -> bool:
        """Append an event of the exchange; False when there is no room and it is gone."""
        if len(self._items) >= self.capacity:
            self.dropped += 1
            self._dropped_now += 1
            return False
        self._say_dropped(local_ns)
        self._items.append((local_ns, message))
        self.highest = max(self.highest, len(self._items))
        return True

    def put(self, local_ns: int, record: dict[str, Any]) -> None:
        """Append a record of the recorder."""
        self._say_dropped(local_ns)
        self._items.append((local_ns, record))

    def take(self) -> list[tuple[int, dict[str, Any]]]:
        """Everything that waits; the queue is empty afterwards."""
        items = list(self._items)
        self._items.clear()
        return items

    def _say_dropped(self, local_ns: int) -> None:
        if self._dropped_now:
            self._items.append((local_ns, {"recorder": "dropped", "count": self._dropped_now}))
            self._dropped_now = 0
