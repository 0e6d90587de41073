"""A paper session: closed bars in, one at a time; features, predictions, account and decision out.

Features are `FeatureStream`'s, predictions the run's own models and ensemble, fills and account one lane of the
compiled market. A decision made at the close of a bar is filled in the next one, as in the backtest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path
from envs import lanes
from envs.actions import ORDER_WIDTH, ActionDecoder
from envs.policy import Seat
from features.config import BarParameters
from features.stream import FeatureStream
from live.account import Fill, PaperAccount
from live.config import SessionLimits
from live.feed import ClosedBar
from live.predictor import RollingPredictor
from live.trained_run import TrainedRun
from supervised.observation import observation_rows
from supervised.online.arrays import json_array, json_value, part, prefixed
from supervised.online.config import LearningConfig, learning_from_dict

FORMAT = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted from the next bar on: an order row of `envs.actions`; None where there is no such limit."""

    target: float
    """Sign is the side, magnitude the share of equity × leverage; 0 is flat."""
    take_profit_bps: float | None
    stop_loss_bps: float | None
    ttl_bars: float | None
    limit_offset_bps: float | None
    """Distance of a limit entry behind the last close; None where entries are market orders."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one closed bar led to."""

    open_time_ms: int
    close: float
    ready: bool
    """Features and predictions are all there. Where not, the account goes flat whatever is decided."""
    gap: bool
    """The bar does not follow the one before it."""
    rehearsal: bool
    """The run had seen this bar in research."""
    predictions: dict[str, float | None]
    """P(up) by column name."""
    fills: tuple[Fill, ...]
    """Of the decision made one bar earlier, and of brackets and time-outs, in this bar."""
    trades: tuple[dict[str, Any], ...]
    """Trades closed in this bar."""
    position: float
    """Signed quantity held at the close."""
    equity: float
    """Cash and position at the close."""
    decision: Decision
    """Made at this close, to be filled in the next bar."""
    risk_state: str
    """ "active", "reducing" or "stopped": what the circuit breakers let the next bar do."""
    risk_reason: str
    """What tripped them (`envs.risk.REASONS`), "none" while active."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


@dataclass
class Counts:
    """What a session has seen so far."""

    bars: int = 0
    gaps: int = 0
    not_ready: int = 0
    rehearsed: int = 0
    """Bars that the run had seen in research."""
    first_open_ms: int = 0
    last_open_ms: int = 0
    first_price: float = 0.0
    """Open of the first bar."""
    last_price: float = 0.0
    """Close of the last bar."""


class PaperSession:
    """Trades one symbol with one policy; `on_bar` is all there is to it."""

    def __init__(
        self,
        run: TrainedRun,
        capital: float | None = None,
        limits: SessionLimits | None = None,
        learning: LearningConfig | None = None,
    ) -> None:
        """Start with `capital` quote units (None: the rules' own) behind `limits` (None: those it was trained under).
        `learning`: how the models learn on; None: they stay as they were trained.

        Raises InputError when the rules give a range of capital, and for a limit that cannot be met.
        """
        low, high = run.config.capital_range
        if capital is None and low != high:
            raise InputError(
                f"the policy was trained with {low:g} to {high:g} of capital", where="session", remedy="pass --capital"
            )
        self.run = run
        self.capital = low if capital is None else float(capital)
        self.limits = limits or SessionLimits()
        self.learning = learning
        self.counts = Counts()
        rules = replace(run.config, risk=self.limits.risk(run.config.risk))
        self.account = PaperAccount(
            run.instrument, run.columns, rules, run.interval_ms, self.capital, spread_of_bars=run.spread_of_bars
        )
        self._stream = FeatureStream(run.fold.feature_names, BarParameters(interval_ms=run.interval_ms))
        self.predictor = RollingPredictor(run.fold, run.ensemble, run.interval_ms, learning)
        self._seat = Seat(run.policy, 1)
        self._decoder = ActionDecoder(run.config)
        self._order = np.zeros((1, ORDER_WIDTH))

    def on_bar(self, bar: ClosedBar, *, killed: bool = False) -> Step:
        """Take in the next closed bar; `killed` says that the kill switch is pulled.

        Raises InputError, with the session untouched, for a bar that is not later than the last one or off the time
        grid, and for prices or sizes that no bar can have. A bar after a gap starts the features and the policy's
        memory afresh; the position, if any, is closed at its open.
        """
        if bar.open_time_ms % self.run.interval_ms:
            raise InputError(
                f"open time {bar.open_time_ms} ms is off the {self.run.interval_ms // 1000} s grid",
                where="session",
                remedy="give the time at which the bar opens",
            )
        last = self._stream.last_time
        if last is None:
            self.account.recall(self.run.market, bar.open_time_ms)
        features = self._stream.update(bar.open_time_ms, bar.row())
        probabilities, further = self.predictor.update(bar, features)
        seen = further[None] if self.run.further else None
        row = self.run.scaler.transform(observation_rows(features[None], probabilities[None], seen))[0]
        moved = self.account.step(bar, row, self._order)
        if moved.earlier is not None and self._seat.remembers:
            self._seat.act(moved.earlier)
        gap = last is not None and bar.open_time_ms - last != self.run.interval_ms
        if gap:
            self._seat.begin()
        if moved.observation is not None:
            self._decide(moved.observation)
        if killed:
            self._halt("kill_switch")
        elif bar.bid >= bar.ask:
            self._halt("crossed_data")
        elif self._silence_s(bar, last) > (self.limits.stale_after_s or np.inf):
            self._halt("stale_data")
        step = Step(
            open_time_ms=bar.open_time_ms,
            close=bar.close,
            ready=not bool(np.isnan(row).any()),
            gap=gap,
            rehearsal=bar.open_time_ms <= self.run.known_until_ms,
            predictions=self._named(probabilities),
            fills=moved.fills,
            trades=moved.trades,
            position=self.account.money(lanes.QTY),
            equity=self.account.money(lanes.EQUITY),
            decision=_decision(self._order[0]),
            risk_state=self.account.risk.state,
            risk_reason=self.account.risk.reason,
        )
        self._count(bar, step)
        return step

    def save(self, path: Path, extra: dict[str, Any] | None = None) -> None:
        """Write everything that changes to one .npz file, atomically; `extra` (JSON) comes back from `restore`."""
        about = {
            "format": FORMAT,
            "identity": self.run.identity,
            "capital": self.capital,
            "limits": asdict(self.limits),
            "learning": None if self.learning is None else asdict(self.learning),
            "counts": asdict(self.counts),
            "extra": extra or {},
        }
        arrays = prefixed("predictor", self.predictor.state()) | prefixed("account", self.account.state())
        arrays["about"] = json_array(about)
        arrays["stream"] = np.frombuffer(self._stream.state_bytes(), dtype=np.uint8)
        arrays["order"], arrays["memory"] = self._order, self._seat.memory
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def restore(
        cls, run: TrainedRun, path: Path, limits: SessionLimits | None = None
    ) -> tuple[PaperSession, dict[str, Any]]:
        """The session that `save` wrote, which goes on bit for bit as if it had never stopped, and its `extra`.

        Its breakers are as they were, a halt included; `limits` take the place of the saved ones where they are given.
        Raises InputError when there is none, it is damaged, or it belongs to another run or policy.
        """
        remedy = "start anew with another --out"
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json_value(arrays["about"])
            if about["format"] != FORMAT:
                raise InputError(f"session format {about['format']} is unknown", where=str(path), remedy=remedy)
            for name, value in run.identity.items():
                if about["identity"].get(name) != value:
                    raise InputError(
                        f"the session was started with another {name}",
                        where=str(path),
                        remedy=f"{remedy}, or mend --run",
                    )
            saved = SessionLimits(**about["limits"])
            learning = None if about["learning"] is None else learning_from_dict(about["learning"])
            session = cls(run, about["capital"], limits.over(saved) if limits else saved, learning)
            session.counts = Counts(**about["counts"])
            session._stream = FeatureStream.from_state(arrays["stream"].tobytes())
            session.predictor.restore(part(arrays, "predictor"))
            session.account.restore(part(arrays, "account"))
            session._order[:] = arrays["order"]
            session._seat.memory[:] = arrays["memory"]
        except InputError:
            raise
        except (OSError, KeyError, ValueError, TypeError, BadZipFile) as error:
            raise InputError(
                f"no session to go on with ({type(error).__name__}: {error})", where=str(path), remedy=remedy
            ) from error
        return session, about["extra"]

    def _decide(self, observation: NDArray[np.float32]) -> None:
        """Ask the policy; one that answers with no action of its space is halted, and wants to be flat."""
        actions = self._seat.act(observation)
        try:
            self._decoder.decode(self._decoder.as_batch(actions, 1), self._order)
        except InputError:
            self._order[:] = 0.0
            self._halt("bad_output")

    def _halt(self, reason: str) -> None:
        """Stop until a human re-arms it; what has stopped it so already stays the reason."""
        risk = self.account.risk
        if not (risk.state == "stopped" and risk.needs_rearm):
            risk.stop(reason)

    def _silence_s(self, bar: ClosedBar, last: int | None) -> float:
        """Seconds without data before `bar`: the bars that are missing, or how late it came."""
        interval_ms = self.run.interval_ms
        missing_ms = 0 if last is None else bar.open_time_ms - last - interval_ms
        late_ms = bar.received_ms - bar.open_time_ms - interval_ms
        return max(missing_ms, 0.0 if np.isnan(late_ms) else late_ms) / 1_000

    def _named(self, probabilities: NDArray[np.float32]) -> dict[str, float | None]:
        first = len(self.run.fold.feature_names)
        columns = self.run.columns[first : first + len(probabilities)]
        return {
            name: None if np.isnan(p) else round(float(p), 7) for name, p in zip(columns, probabilities, strict=True)
        }

    def _count(self, bar: ClosedBar, step: Step) -> None:
        counts = self.counts
        if counts.bars == 0:
            counts.first_open_ms, counts.first_price = bar.open_time_ms, bar.open
        counts.last_open_ms, counts.last_price = bar.open_time_ms, bar.close
        counts.bars += 1
        counts.gaps += step.gap
        counts.not_ready += not step.ready
        counts.rehearsed += step.rehearsal


def _decision(order: NDArray[np.float64]) -> Decision:
    target, *limits = (float(value) for value in order)
    return Decision(target, *(value if np.isfinite(value) else None for value in limits))
