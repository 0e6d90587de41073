"""What identifies stored rows: whatever changes a byte of them changes their address."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.schema import BarArrays
from features.catalogue import KINDS, select_features
from features.kernel import load_kernel
from features.stream import FeatureStream

Precision = Literal["float64", "float32"]
KIND = "bars"
"""The kind that the store holds: the one whose rows are years of history. Event kinds are replayed from recordings."""


@dataclass(frozen=True)
class FeatureSet:
    """Which features, with which windows, by which version of the code, stored how, from which moment on.

    Two builds of equal sets on equal bars are the same files; everything else lies in folders of its own.
    """

    names: tuple[str, ...]
    """In the order of the catalogue: the order of selecting changes no value."""
    parameters: Any
    """The kind's parameters, `features.config.BarParameters`."""
    precision: Precision
    """float64 keeps every bit of the step; float32 rounds each value once, to half the space."""
    start_ms: int
    """Open time of the bar at which the pass begins, cold."""
    fingerprint: int
    """Mark of the sources of the compiled step."""

    @property
    def key(self) -> str:
        """16 hex digits of a hash over all of the above."""
        return digest(json.dumps(self.describe(), sort_keys=True).encode())[:16]

    def describe(self) -> dict[str, Any]:
        """The set as JSON values; `from_dict` reads them back."""
        return {"kind": KIND, **dataclasses.asdict(self), "fingerprint": f"{self.fingerprint:012x}"}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSet:
        """The set that `describe` gave. Raises KeyError, TypeError or ValueError for anything else."""
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in data["parameters"].items()}
        return cls(
            names=tuple(data["names"]),
            parameters=KINDS[data["kind"]].parameters(**given),
            precision=data["precision"],
            start_ms=data["start_ms"],
            fingerprint=int(data["fingerprint"], 16),
        )

    def stream(self, state: bytes | None = None) -> FeatureStream:
        """A stream of these features: fresh, or going on from a saved state."""
        if state is not None:
            return FeatureStream.from_state(state)
        return FeatureStream(self.names, self.parameters, KIND)

    def address(self, bars: str, state: str) -> str:
        """Where rows made from bars and a starting state of these digests belong: 24 hex digits."""
        return digest(f"{self.key} {bars} {state}".encode())[:24]


def feature_set(
    names: tuple[str, ...] | None,
    parameters: Any,
    start_ms: int,
    *,
    lacking: frozenset[str] = frozenset(),
    precision: Precision = "float64",
) -> FeatureSet:
    """The set of what `names` asks for (features, families or presets; None for all), by the code as it is now.

    Features that read a field in `lacking` are left out when a family, a preset or everything was asked for, and
    refused (InputError) when asked for by their own name.
    """
    specs = select_features(names, parameters, KIND)
    for spec in specs:
        missing = sorted(lacking.intersection(spec.inputs))
        if missing and names is not None and spec.name in names:
            raise InputError(
                f"{spec.name} needs {missing[0]}, which these bars do not have in every row",
                where="feature store",
                remedy="leave it out, or use a source that gives it",
            )
    chosen = {spec.name for spec in specs if not lacking.intersection(spec.inputs)}
    if not chosen:
        raise InputError(
            f"these bars lack {' '.join(sorted(lacking))}", where="feature store", remedy="ask for other features"
        )
    ordered = tuple(spec.name for spec in select_features(None, parameters, KIND) if spec.name in chosen)
    return FeatureSet(ordered, parameters, precision, start_ms, load_kernel(KIND).fingerprint)


def bars_digest(bars: BarArrays) -> str:
    """Hex digest of every byte of the bars: times and all columns, null or not."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in BarArrays.__slots__:
        hasher.update(np.ascontiguousarray(getattr(bars, name)).data)
    return hasher.hexdigest()


def digest(data: bytes) -> str:
    """Hex digest, 32 digits, of a state or any other bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
