"""The ensemble as research and live use it: exponential weights over the members and, as one more expert, the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax

from supervised.config import EnsembleConfig
from supervised.ensemble import Hedge, log_losses, run_ensemble
from supervised.gate import REGIME, Gate, regime_of

GATE = "gate"
"""Name of the gate among the experts."""


@dataclass
class Ensemble:
    """What is learned about the members. An *expert* is a member or the gate, which comes last."""

    members: tuple[str, ...]
    feature_names: tuple[str, ...]
    """Columns of the feature rows that it is given."""
    hedge: Hedge
    """Over the experts."""
    gate: Gate | None
    """None where `EnsembleConfig.gate_rate` is 0 or there is one member: nothing to choose from."""

    @classmethod
    def start(
        cls,
        config: EnsembleConfig,
        horizons: tuple[int, ...],
        members: tuple[str, ...],
        feature_names: tuple[str, ...] = (),
    ) -> Ensemble:
        """Nothing learned yet: equal weights."""
        gate = None
        if config.gate_rate > 0 and len(members) > 1:
            regimes = 1 + sum(name in feature_names for name in REGIME)
            gate = Gate.start(config.gate_rate, horizons, len(members), regimes)
        experts = members if gate is None else (*members, GATE)
        return cls(members, feature_names, Hedge.start(config, horizons, experts), gate)

    def run(
        self, probabilities: np.ndarray, scaled: np.ndarray, y: np.ndarray, t1: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Go over T rows as live does one by one, and return what was said at each.

        probabilities: (T, H, M) P(up) of the members. scaled: (T, F) feature rows, scaled as the members saw them. y:
        (T, H) label returns, NaN unknown. t1: int64 (T, H), row at which each label ends; it counts from that row on.
        Returns P(up) float64 (T, H), NaN where any member is, and the weight of each member float64 (T, H, M), its part
        in the gate's opinion included.
        """
        return self.run_in(probabilities, self.regimes(scaled), y, t1)

    def run_in(
        self, probabilities: np.ndarray, regimes: np.ndarray, y: np.ndarray, t1: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`run` for who has no room for all feature rows at once: regimes float64 (T, G) as `regimes` gives them."""
        if self.gate is None:
            return run_ensemble(probabilities, y, t1, self.hedge)
        gated = self.gate.run(probabilities, regimes, y, t1)
        experts = np.concatenate([probabilities, (gated * probabilities).sum(axis=-1, keepdims=True)], axis=-1)
        mixture, weights = run_ensemble(experts, y, t1, self.hedge)
        own = weights[..., :-1]
        ungated = own / own.sum(axis=-1, keepdims=True)  # where the regime is unknown the gate says nothing
        return mixture, np.where(np.isnan(gated), ungated, own + weights[..., -1:] * gated)

    def regimes(self, scaled: np.ndarray) -> np.ndarray:
        """Regime features float64 (T, G) of scaled feature rows (T, F)."""
        return regime_of(scaled, self.feature_names)

    def regime(self, scaled: np.ndarray) -> np.ndarray:
        """Regime features float64 (G,) of a scaled feature row (F,): what the gate has to be shown again later."""
        return self.regimes(scaled[None])[0]

    def experts(self, probabilities: np.ndarray, regime: np.ndarray) -> np.ndarray:
        """P(up) float64 (H, E) of all experts from the members' (H, M): what has to be shown again later."""
        p = probabilities.astype(np.float64)
        if self.gate is None:
            return p
        return np.concatenate([p, (self.gate.weigh(regime) * p).sum(axis=-1, keepdims=True)], axis=-1)

    def combine(self, experts: np.ndarray) -> np.ndarray:
        """P(up) float64 (H,) of the ensemble from the experts' (H, E)."""
        return self.hedge.combine(experts)

    def online_update(self, experts: np.ndarray, regime: np.ndarray, y: np.ndarray) -> float:
        """Enter the next row: learn from the labels that have just become known, at most one per horizon.

        experts (H, E) and regime (H, G): as `experts` and `regime` gave them at the label's own row. y (H,): label
        returns, NaN where none has become known. Call it once per row, labels or not, before `combine`. Returns the
        mean log-loss of the ensemble's present weights on these labels, before learning; NaN without labels. There is
        no optimizer and no criterion: the step is the one that the regret bound is about.
        """
        losses = log_losses(np.concatenate([experts, self.hedge.combine(experts)[:, None]], axis=-1), y)
        counted = losses.any(axis=-1)
        if self.gate is not None:
            self.gate.learn(experts[:, :-1], regime, y)
        self.hedge.advance(losses[:, :-1])
        return float(losses[counted, -1].mean()) if counted.any() else float("nan")

    def extended(self, copies: Mapping[str, str], fresh: tuple[str, ...] = ()) -> Ensemble:
        """With more members behind the ones there are: `copies` (new name -> member it starts as trusted as), then
        `fresh` ones that nothing is known about yet."""
        members = (*self.members, *copies, *fresh)
        source = [*range(len(self.members)), *(self.members.index(name) for name in copies.values())]
        members_state = self.hedge.log_weights[:, source]
        typical = np.repeat(members_state.mean(axis=1, keepdims=True), len(fresh), axis=1)
        parts = [members_state, typical] + ([] if self.gate is None else [self.hedge.log_weights[:, -1:]])
        experts = members if self.gate is None else (*members, GATE)
        log_weights = log_softmax(np.concatenate(parts, axis=1), axis=1)
        hedge = replace(self.hedge, members=experts, log_weights=log_weights)
        if self.gate is None:
            return replace(self, members=members, hedge=hedge)
        mean = self.gate.weights.mean(axis=1, keepdims=True)
        grown = np.concatenate([self.gate.weights[:, source], np.repeat(mean, len(fresh), axis=1)], axis=1)
        return replace(self, members=members, hedge=hedge, gate=replace(self.gate, weights=grown))

    def copy(self) -> Ensemble:
        """One that learns on without changing this one."""
        return self.from_dict(self.to_dict(), self.hedge.config)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` gives back the same bits."""
        return {
            "members": list(self.members),
            "feature_names": list(self.feature_names),
            "hedge": self.hedge.to_dict(),
            "gate": None if self.gate is None else self.gate.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], config: EnsembleConfig) -> Ensemble:
        """Back from `to_dict`."""
        gate = None if state["gate"] is None else Gate.from_dict(state["gate"])
        hedge = Hedge.from_dict(state["hedge"], config)
        return cls(tuple(state["members"]), tuple(state["feature_names"]), hedge, gate)
