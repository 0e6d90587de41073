"""Decisions on their way to the exchange, a ring per lane. Compiled parts of `envs.book.kernel`; docs/book.md states
the rules.

Decision k of an episode is in slot k % slots and arrives in the step of decision k + slots - 1. With one slot it
arrives before the next one is made, so all of it is sent, and what of it is needed shows on arrival.
"""

import numpy as np

from envs import lanes
from envs import terms as T
from envs.book import lanes as own
from envs.columns import TRADABLE
from envs.compiled import inlined
from envs.fills import side_of
from envs.risk import allowed_target


@inlined
def send_decision(
    i: int,
    row: int,
    order: np.ndarray,
    account: np.ndarray,
    clock: np.ndarray,
    marks: np.ndarray,
    flight: np.ndarray,
    prices: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Put what lane i decides at the end of `row` on its way, by the account as it is known now."""
    allowed = prices[row, TRADABLE] != 0.0 and clock[lanes.PHASE, i] != lanes.HALTED
    held = account[lanes.QTY, i]
    resting = order[4] < np.inf
    asked = order[0]
    if asked != asked:  # NaN: whatever is held or rests
        resting = account[lanes.LIMIT_PRICE, i] != 0.0
        asked = account[lanes.LIMIT_TARGET, i] if resting else held
    target = asked if allowed and (asked > 0.0 or terms[T.SHORTABLE] != 0.0) else 0.0
    wanted = allowed_target(i, target, account, clock)
    due = held != 0.0 and row + 1 - clock[lanes.ENTRY_ROW, i] >= account[lanes.TTL, i]
    needed = flight.shape[1] == 1
    if not needed:
        if held != 0.0:
            needed = due or side_of(held) * wanted <= 0.0
        elif order[0] == order[0] or not allowed or wanted != asked:
            needed = not _expected(i, wanted, resting, account, marks, flight)
    decision = flight[i, marks[own.SENT, i] % flight.shape[1]]
    decision[own.MADE] = row
    decision[own.NEEDED] = needed
    decision[own.WANTED] = wanted
    decision[own.TARGET] = target
    decision[own.ALLOWED] = allowed
    decision[own.HELD] = marks[own.POSITION, i] if held != 0.0 else 0
    decision[own.DUE] = due
    decision[own.RESTING] = resting
    for column in range(len(order)):
        decision[own.ORDER + column] = order[column]
    marks[own.SENT, i] += 1


@inlined
def _expected(i: int, wanted: float, resting: bool, account: np.ndarray, marks: np.ndarray, flight: np.ndarray) -> bool:
    """Whether flat lane i already has, or will have when the last order under way has arrived, the entry it wants."""
    side, rests = 0.0, False
    if account[lanes.LIMIT_PRICE, i] != 0.0:
        side, rests = side_of(account[lanes.LIMIT_TARGET, i]), True
    sent, slots = marks[own.SENT, i], flight.shape[1]
    for number in range(sent - 1, max(sent - slots, -1), -1):
        last = flight[i, number % slots]
        if last[own.NEEDED] != 0.0:
            if last[own.HELD] == 0.0:
                side, rests = np.sign(last[own.WANTED]), last[own.RESTING] != 0.0
            break
    return np.sign(wanted) == side and (side == 0.0 or resting == rests)


@inlined
def lose_decisions(i: int, flight: np.ndarray) -> None:
    """Nothing that is on its way over a gap arrives."""
    for slot in range(flight.shape[1]):
        flight[i, slot, own.NEEDED] = 0.0
