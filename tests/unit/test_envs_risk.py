"""The circuit breakers as a table of transitions, in the kernel's hands and in a human's."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs import lanes
from envs.batch import LaneBatch
from envs.config import MarketConfig, RiskLimits
from envs.kernel import open_lanes
from envs.risk import RiskControl
from tests.market_tools import PERPETUAL, build_market, plain

FIRST_MINUTE_OF_DAY = 1_440 - (1_700_000_040_000 // 60_000) % 1_440
"""Minutes from the markets' first bar to the next UTC day."""
LONG, FLAT, SHORT = 1.0, 0.0, -1.0


@dataclass
class Desk:
    """One account stepped bar by bar: prices given, orders without bracket, no costs."""

    batch: LaneBatch
    held: float = 0.0

    @classmethod
    def open(cls, closes: Sequence[float], limits: RiskLimits, start: int = 0, **settings: float) -> "Desk":
        """Bars that open at the last close and go straight to their own; the first opens at minute `start`."""
        prices = np.array(closes, dtype=float)
        opens = np.concatenate([prices[:1], prices[:-1]])
        bars = np.stack([opens, np.maximum(opens, prices), np.minimum(opens, prices), prices], axis=1)
        free = {"half_spread_bps": 0.0, "stop_out_fraction": 1e-6, "fees_bps": (0.0, 0.0)}
        market = build_market(bars, minutes=start + np.arange(len(bars)))
        config = replace(plain(risk=limits, initial_capital=1_000.0), **{**free, **settings})
        batch = LaneBatch(market, config, 1, trade_slots=1)
        open_lanes(batch.state.account, batch.state.clock, np.array([1_000.0]), 0, len(bars) - 1)
        batch.step(np.zeros((1, 5)), np.empty((0, 12), dtype=np.float32))
        return cls(batch)

    def step(self, wanted: float) -> tuple[str, str]:
        """(state, reason) at the close of the next bar."""
        self.batch.step(np.array([[wanted, np.inf, np.inf, np.inf, np.inf]]), np.empty((0, 12), dtype=np.float32))
        self.held = float(self.batch.state.account[lanes.QTY, 0])
        control = RiskControl(self.batch.state)
        return control.state, control.reason

    @property
    def control(self) -> RiskControl:
        return RiskControl(self.batch.state)

    @property
    def exits(self) -> int:
        return int(self.batch.state.clock[lanes.TRADES, 0])


ACTIVE = ("active", "none")


@pytest.mark.parametrize(
    ("limits", "closes", "orders", "expected"),
    [
        pytest.param(
            RiskLimits(drawdown=0.05),
            [1000, 1000, 960, 940, 940, 1200, 1200],
            [LONG] * 6,
            [ACTIVE, ACTIVE, *[("stopped", "drawdown")] * 4],
            id="drawdown stops for good, whatever the price does",
        ),
        pytest.param(
            RiskLimits(daily_loss=0.05),
            [1000, 1000, 1100, 1040, 1010, 940, 940],
            [LONG] * 6,
            [ACTIVE, ACTIVE, ACTIVE, ACTIVE, ("stopped", "daily_loss"), ("stopped", "daily_loss")],
            id="daily loss counts from the day's start, not from the peak",
        ),
        pytest.param(
            RiskLimits(daily_loss=0.05, drawdown=0.05),
            [1000, 1000, 940, 940],
            [LONG] * 3,
            [ACTIVE, ("stopped", "drawdown"), ("stopped", "drawdown")],
            id="the more severe of two",
        ),
        pytest.param(
            RiskLimits(entries_per_day=2),
            [1000.0] * 7,
            [LONG, FLAT, LONG, LONG, FLAT, LONG],
            [ACTIVE, ACTIVE, *[("reducing", "daily_entries")] * 4],
            id="the last entry of the day may be held and left",
        ),
        pytest.param(
            RiskLimits(losing_streak=2, cool_down_bars=2),
            [1000, 990, 980, 1000, 1000, 990, 990],
            [LONG, FLAT, LONG, FLAT, LONG, FLAT],
            [ACTIVE] * 6,
            id="a gain between two losses breaks the streak",
        ),
        pytest.param(
            RiskLimits(losing_streak=2, cool_down_bars=2),
            [1000, 990, 980, 970, 960, 960, 960, 960, 960],
            [LONG, FLAT, LONG, FLAT, LONG, LONG, LONG, LONG],
            [ACTIVE, ACTIVE, ACTIVE, *[("reducing", "losing_streak")] * 3, ACTIVE, ACTIVE],
            id="a streak cools down for two whole bars",
        ),
        pytest.param(
            RiskLimits(volatility_multiple=3.0, cool_down_bars=1),
            [1000, 1001, 1002, 1003, 1010, 1011, 1012, 1013],
            [FLAT] * 7,
            [ACTIVE, ACTIVE, ACTIVE, ("reducing", "volatility"), ("reducing", "volatility"), ACTIVE, ACTIVE],
            id="a burst of volatility",
        ),
    ],
)
def test_transitions(limits: RiskLimits, closes: list, orders: list, expected: list) -> None:
    desk = Desk.open(closes, limits)
    assert [desk.step(order) for order in orders] == expected


def test_a_stop_that_would_lift_gives_way_to_one_that_does_not() -> None:
    """The exit meets the low of its bar, by when the drawdown is reached too."""
    desk = Desk.open([1000, 1000, 965, 940, 940], RiskLimits(daily_loss=0.03, drawdown=0.05), latency_ms=60_000.0)
    states = [desk.step(LONG) for _ in range(4)]
    assert states == [ACTIVE, ("stopped", "daily_loss"), ("stopped", "drawdown"), ("stopped", "drawdown")]
    assert desk.control.needs_rearm


def test_stopped_closes_at_the_next_open_and_enters_nothing() -> None:
    desk = Desk.open([1000, 1000, 940, 940, 940], RiskLimits(drawdown=0.05))
    desk.step(LONG)
    desk.step(LONG)
    assert desk.held > 0
    desk.step(LONG)
    assert desk.held == 0
    assert desk.batch.state.trades[0, 0, lanes.REASON] == lanes.BY_RISK
    desk.step(SHORT)
    assert desk.held == 0


@pytest.mark.parametrize(
    ("wanted", "reason"), [(LONG, lanes.BY_RISK), (FLAT, lanes.BY_SIGNAL), (SHORT, lanes.BY_SIGNAL)]
)
def test_an_exit_that_was_wanted_anyway_is_a_signal(wanted: float, reason: int) -> None:
    desk = Desk.open([1000.0] * 5, RiskLimits(drawdown=0.5))
    desk.step(LONG)
    desk.control.stop("kill_switch")
    desk.step(wanted)
    assert desk.held == 0
    assert desk.batch.state.trades[0, 0, lanes.REASON] == reason


def test_reducing_keeps_what_is_held_and_reverses_into_nothing() -> None:
    desk = Desk.open([1000.0] * 8, RiskLimits(entries_per_day=1))
    desk.step(LONG)
    held = desk.held
    for _ in range(3):
        assert desk.step(LONG) == ("reducing", "daily_entries")
        assert desk.held == held > 0
    desk.step(SHORT)
    assert (desk.held, desk.exits) == (0.0, 1)
    desk.step(SHORT)
    assert desk.held == 0


@pytest.mark.parametrize(
    ("limits", "tripped"),
    [(RiskLimits(daily_loss=0.05), "stopped"), (RiskLimits(entries_per_day=1), "reducing")],
)
def test_daily_limits_lift_with_the_utc_day(limits: RiskLimits, tripped: str) -> None:
    desk = Desk.open([1000, 940, 940, 940, 940, 940], limits, start=FIRST_MINUTE_OF_DAY - 4)
    states = [desk.step(order)[0] for order in (LONG, FLAT, LONG, LONG, LONG)]
    assert states[:3] == [tripped] * 3
    assert not desk.control.needs_rearm
    # The fourth step is the first bar of the day: it may be traded, and both counts begin anew.
    assert states[3:] == (["active"] * 2 if tripped == "stopped" else ["reducing"] * 2)
    assert desk.held > 0
    assert desk.batch.state.account[lanes.DAY_EQUITY, 0] == pytest.approx(940.0, rel=1e-3)


def test_a_cool_down_lasts_its_bars() -> None:
    """Entries are wanted at every close: the first that goes through tells how many bars were blocked."""
    for bars in (1, 2, 5, 2.5):
        desk = Desk.open([1000, 990, 980, 970, *[960.0] * 12], RiskLimits(losing_streak=1, cool_down_bars=bars))
        desk.step(LONG)
        desk.step(FLAT)
        blocked = 0
        while desk.step(LONG)[0] and desk.held == 0:
            blocked += 1
        assert blocked == np.ceil(bars)


def test_a_cool_down_can_be_for_ever() -> None:
    limits = RiskLimits(losing_streak=1, cool_down_bars=np.inf)
    desk = Desk.open([1000, 990, 980, *[970.0] * 30], limits)
    desk.step(LONG)
    desk.step(FLAT)
    for _ in range(25):
        assert desk.step(LONG) == ("reducing", "losing_streak")
    assert desk.held == 0


def test_the_collar_refuses_market_entries_only() -> None:
    bars = np.array([[1000, 1000, 1000, 1000.0], [1003, 1003, 1003, 1003], [1003, 1003, 1003, 1003]])
    for collar, held in ((29.0, False), (31.0, True)):
        batch = LaneBatch(build_market(bars), plain(risk=RiskLimits(price_collar_bps=collar)), 1)
        open_lanes(batch.state.account, batch.state.clock, np.array([1e4]), 0, 2)
        order = np.array([[1.0, np.inf, np.inf, np.inf, np.inf]])
        for _ in range(2):
            batch.step(order, np.empty((0, 12), dtype=np.float32))
        assert (batch.state.account[lanes.QTY, 0] > 0) == held
        assert batch.state.clock[lanes.REFUSED, 0] == (not held)


@pytest.mark.parametrize("reason", ["stale_data", "crossed_data", "bad_output", "kill_switch"])
def test_a_human_stops_and_rearms(reason: str) -> None:
    desk = Desk.open([1000.0] * 9, RiskLimits())  # no limits: the switch works without any
    desk.step(LONG)
    desk.control.stop(reason)
    assert (desk.control.state, desk.control.reason, desk.control.needs_rearm) == ("stopped", reason, True)
    assert desk.step(LONG) == ("stopped", reason)
    assert desk.step(LONG) == ("stopped", reason)
    assert desk.held == 0
    desk.control.rearm()
    assert (desk.control.state, desk.control.reason, desk.control.needs_rearm) == (*ACTIVE, False)
    desk.step(LONG)
    assert desk.held > 0


def test_reduce_waits_for_a_human_whatever_else_trips_and_lifts() -> None:
    limits = RiskLimits(daily_loss=0.05, losing_streak=1, cool_down_bars=1, volatility_multiple=1.5, entries_per_day=1)
    closes = [1000, 1000, 940, 930, *np.linspace(930, 900, 6)]
    desk = Desk.open(closes, limits, start=FIRST_MINUTE_OF_DAY - 4)
    desk.step(LONG)
    desk.control.reduce("stale_data")
    assert desk.step(LONG) == ("stopped", "stale_data")  # the daily loss stops it; the day does not lift it
    for _ in range(6):
        assert desk.step(LONG) == ("stopped", "stale_data")
    assert desk.control.needs_rearm
    assert desk.held == 0


def test_reduce_survives_milder_limits() -> None:
    """The day's entries are used up and the exit is a loss: either would lift by itself."""
    limits = RiskLimits(losing_streak=1, cool_down_bars=1, entries_per_day=1)
    desk = Desk.open([1000, 1000, 990, *[980.0] * 6], limits, start=FIRST_MINUTE_OF_DAY - 4)
    assert desk.step(LONG) == ("reducing", "daily_entries")
    desk.control.reduce("crossed_data")
    for wanted in (LONG, FLAT, LONG, LONG, LONG, LONG):
        assert desk.step(wanted) == ("reducing", "crossed_data")
    assert desk.exits == 1
    assert desk.held == 0


def test_a_stop_is_never_softened() -> None:
    desk = Desk.open([1000, 1000, 940, 940], RiskLimits(daily_loss=0.05))
    desk.control.stop("kill_switch")
    desk.control.reduce("stale_data")
    assert (desk.control.state, desk.control.reason) == ("stopped", "kill_switch")
    desk.control.rearm()
    desk.step(LONG)
    desk.step(LONG)
    assert (desk.control.reason, desk.control.needs_rearm) == ("daily_loss", False)
    desk.control.reduce("stale_data")  # what would have lifted with the day now waits as well
    assert (desk.control.state, desk.control.reason, desk.control.needs_rearm) == ("stopped", "stale_data", True)


def test_rearming_counts_from_now() -> None:
    limits = RiskLimits(drawdown=0.05, daily_loss=0.04, losing_streak=1, entries_per_day=1, cool_down_bars=3)
    desk = Desk.open([1000, 1000, 940, 940, 940, 940], limits)
    desk.step(LONG)
    assert desk.step(LONG) == ("stopped", "drawdown")
    desk.step(LONG)
    desk.control.rearm()
    assert desk.step(FLAT) == ACTIVE
    desk.step(LONG)
    assert desk.held > 0


def test_unknown_reasons_are_refused() -> None:
    control = Desk.open([1000.0] * 3, RiskLimits()).control
    for trip in (control.stop, control.reduce):
        for reason in ("none", "boredom"):
            with pytest.raises(InputError, match=f"reason '{reason}' is unknown"):
                trip(reason)


def test_the_state_travels_with_the_account() -> None:
    """A halt survives whatever the lane survives: copied, it goes on as it would have."""
    desk = Desk.open([1000, 990, 980, 970, *[960.0] * 8], RiskLimits(losing_streak=1, cool_down_bars=4))
    desk.step(LONG)
    desk.step(FLAT)
    saved = copy.deepcopy(desk.batch.state)
    ahead = [desk.step(LONG) for _ in range(6)]
    assert RiskControl(saved).reason == "losing_streak"
    for name, values in vars(saved).items():
        getattr(desk.batch.state, name)[...] = values
    assert [desk.step(LONG) for _ in range(6)] == ahead
    assert ahead[-1] == ACTIVE


@pytest.mark.parametrize("name", ["daily_loss", "drawdown", "losing_streak", "cool_down_bars", "price_collar_bps"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_limits_that_cannot_be_met_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} .* is not positive"):
        RiskLimits(**{name: value})


def test_no_limits_are_no_limits() -> None:
    assert not RiskLimits().any_set
    assert not RiskLimits(cool_down_bars=5).any_set
    assert RiskLimits(entries_per_day=10).any_set
    assert PERPETUAL.shortable
    assert MarketConfig().risk == RiskLimits()
