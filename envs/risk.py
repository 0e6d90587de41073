"""Circuit breakers: one state machine for training, backtest and live trading.

    ACTIVE    anything goes
    REDUCING  nothing is entered; what is held may stay, and may always be closed
    STOPPED   what is held is closed at the next open, and nothing is entered

The compiled part is called by `envs.kernel` for every lane at every bar, so a policy is trained under the very breakers
that stop it live. `RiskControl` is the same state machine in the hands of a live session: it sees what bars cannot show
(stale or crossed data, a kill switch), and re-arms by hand. Cancelling and closing are allowed in every state.
"""

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import InputError
from envs import lanes
from envs import terms as T
from envs.compiled import inlined
from envs.lanes import LaneState

ACTIVE, REDUCING, STOPPED = range(3)
STATES = ("active", "reducing", "stopped")
(
    NOTHING,
    DAILY_LOSS,
    DRAWDOWN,
    LOSING_STREAK,
    DAILY_ENTRIES,
    VOLATILITY,
    STALE_DATA,
    CROSSED_DATA,
    BAD_OUTPUT,
    KILL_SWITCH,
) = range(10)
REASONS = (
    "none",
    "daily_loss",
    "drawdown",
    "losing_streak",
    "daily_entries",
    "volatility",
    "stale_data",
    "crossed_data",
    "bad_output",
    "kill_switch",
)

USUAL_RANGE_WEIGHT = 1.0 / 60.0
"""Weight of the newest bar in the usual range."""


@inlined
def begin_bar(i: int, bar: int, day: int, account: np.ndarray, clock: np.ndarray) -> None:
    """Lift what has run its time, and begin a new UTC day where `bar` does."""
    if day != clock[lanes.DAY, i]:
        clock[lanes.DAY, i] = day
        clock[lanes.DAY_ENTRIES, i] = 0
        account[lanes.DAY_EQUITY, i] = account[lanes.EQUITY, i]
        reason = clock[lanes.RISK_REASON, i]
        if reason in (DAILY_LOSS, DAILY_ENTRIES):
            _set(i, ACTIVE, NOTHING, 0, clock)
    if clock[lanes.RISK_STATE, i] != ACTIVE and bar >= clock[lanes.RISK_UNTIL, i]:
        _set(i, ACTIVE, NOTHING, 0, clock)


@inlined
def allowed_target(i: int, target: float, account: np.ndarray, clock: np.ndarray) -> float:
    """The wanted position that the lane's risk state lets through."""
    state = clock[lanes.RISK_STATE, i]
    if state == ACTIVE:
        return target
    if state == REDUCING and target * account[lanes.QTY, i] > 0.0:
        return target
    return 0.0


@inlined
def end_bar(
    i: int, bar: int, high: float, low: float, account: np.ndarray, clock: np.ndarray, terms: np.ndarray
) -> None:
    """Check every limit at the close of `bar`, the most severe first; a state never gives way to a milder one."""
    width = high / low - 1.0
    usual = account[lanes.USUAL_RANGE, i]
    burst = usual > 0.0 and width >= terms[T.VOLATILITY] * usual
    account[lanes.USUAL_RANGE, i] = width if usual == 0.0 else usual + USUAL_RANGE_WEIGHT * (width - usual)
    reason = clock[lanes.RISK_REASON, i]
    by_hand = clock[lanes.RISK_UNTIL, i] == lanes.NEVER and reason != DAILY_LOSS and reason != DAILY_ENTRIES
    if by_hand and clock[lanes.RISK_STATE, i] == STOPPED:
        return
    equity = account[lanes.EQUITY, i]
    if 1.0 - equity / account[lanes.PEAK, i] >= terms[T.DRAWDOWN]:
        _set(i, STOPPED, DRAWDOWN, lanes.NEVER, clock)
    elif 1.0 - equity / account[lanes.DAY_EQUITY, i] >= terms[T.DAILY_LOSS]:
        # Under the reason that a human must lift, where there is one: the next day does not.
        _set(i, STOPPED, reason if by_hand else DAILY_LOSS, lanes.NEVER, clock)
    elif clock[lanes.RISK_STATE, i] != STOPPED and not by_hand:
        rest = bar + 1 + np.int64(terms[T.COOL_DOWN])
        if clock[lanes.DAY_ENTRIES, i] >= terms[T.DAILY_ENTRIES]:
            _set(i, REDUCING, DAILY_ENTRIES, lanes.NEVER, clock)
        elif clock[lanes.STREAK, i] >= terms[T.LOSING_STREAK]:
            clock[lanes.STREAK, i] = 0
            _set(i, REDUCING, LOSING_STREAK, rest, clock)
        elif burst and clock[lanes.RISK_REASON, i] != DAILY_ENTRIES:
            _set(i, REDUCING, VOLATILITY, max(rest, clock[lanes.RISK_UNTIL, i]), clock)


@inlined
def _set(i: int, state: int, reason: int, until: int, clock: np.ndarray) -> None:
    clock[lanes.RISK_STATE, i] = state
    clock[lanes.RISK_REASON, i] = reason
    clock[lanes.RISK_UNTIL, i] = until


def next_states(state: LaneState, days: np.ndarray) -> np.ndarray:
    """The risk state that each lane's next bar, of UTC day `days` float64 (N,), begins in: int64 (N,), as `begin_bar`
    will lift it."""
    risk, reason = state.count(lanes.RISK_STATE), state.count(lanes.RISK_REASON)
    daily = (reason == DAILY_LOSS) | (reason == DAILY_ENTRIES)
    lifts = daily & (days != state.count(lanes.DAY)) | (state.count(lanes.ROW) + 1 >= state.count(lanes.RISK_UNTIL))
    return np.where(lifts, ACTIVE, risk)


@dataclass(frozen=True, slots=True)
class RiskControl:
    """The breakers of one lane, for whoever runs it: read them, trip them, re-arm them.

    It has no state of its own: all of it is the lane's, and is saved and restored with the account.
    """

    account: LaneState
    lane: int = 0

    @property
    def state(self) -> str:
        """ "active", "reducing" or "stopped"."""
        return STATES[int(self.account.clock[lanes.RISK_STATE, self.lane])]

    @property
    def reason(self) -> str:
        """What caused it, one of `REASONS`; "none" while active."""
        return REASONS[int(self.account.clock[lanes.RISK_REASON, self.lane])]

    @property
    def needs_rearm(self) -> bool:
        """Whether only a human can lift it (the daily loss and the daily entries lift with the next UTC day)."""
        clock = self.account.clock[:, self.lane]
        waits = clock[lanes.RISK_STATE] != ACTIVE and clock[lanes.RISK_UNTIL] == lanes.NEVER
        return bool(waits and clock[lanes.RISK_REASON] not in (DAILY_LOSS, DAILY_ENTRIES))

    def stop(self, reason: str) -> None:
        """Close what is held at the next open and enter nothing until `rearm`. Raises InputError: unknown reason."""
        self._trip(STOPPED, reason)

    def reduce(self, reason: str) -> None:
        """Enter nothing until `rearm`; a stop stays a stop, and waits for it too. InputError: unknown reason."""
        if self.state != "stopped":
            self._trip(REDUCING, reason)
        elif not self.needs_rearm:
            self._trip(STOPPED, reason)

    def rearm(self) -> None:
        """Let it trade again. Drawdown and daily loss count from the equity of now, and losing exits and the day's
        entries from zero, or they would trip at once."""
        money, clock = self.account.account, self.account.clock
        risk = [lanes.RISK_STATE, lanes.RISK_REASON, lanes.RISK_UNTIL, lanes.STREAK, lanes.DAY_ENTRIES]
        clock[risk, self.lane] = 0
        money[[lanes.PEAK, lanes.DAY_EQUITY], self.lane] = money[lanes.EQUITY, self.lane]

    def _trip(self, state: int, reason: str) -> None:
        if reason not in REASONS[1:]:
            raise InputError(f"reason {reason!r} is unknown", where="risk control", remedy=f"use {REASONS[1:]}")
        clock = self.account.clock
        clock[lanes.RISK_STATE, self.lane] = state
        clock[lanes.RISK_REASON, self.lane] = REASONS.index(reason)
        clock[lanes.RISK_UNTIL, self.lane] = lanes.NEVER
