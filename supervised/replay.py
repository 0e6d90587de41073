"""What an online learner rehearses: the latest chunks, and a uniform sample of all that came before them."""

from __future__ import annotations

import heapq
import json
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from data_pipeline.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A chunk in the reservoir. Ordered so that the heap's first is the one with the largest draw: the next to go."""

    rank: float
    x: torch.Tensor = field(compare=False)
    y: torch.Tensor = field(compare=False)
    samples: int = field(compare=False)


class ReplayBuffer:
    """At most `capacity` labelled rows, held as the chunks they came in.

    The newest chunks fill `recent_fraction` of it; a chunk that falls out of there is offered to the reservoir, which
    is a uniform sample without replacement of all chunks ever offered (each gets a random draw, the smallest draws
    stay).
    """

    def __init__(self, capacity: int, recent_fraction: float = 0.5, seed: int = 0) -> None:
        self._room_recent = int(capacity * recent_fraction)
        self._room_reservoir = capacity - self._room_recent
        self._recent: deque[_Kept] = deque()
        self._reservoir: list[_Kept] = []
        self._recent_samples = 0
        self._reservoir_samples = 0
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Labelled rows held."""
        return self._recent_samples + self._reservoir_samples

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Keep a chunk: x float32 (T, F), y float32 (T, H), NaN where unknown. A chunk without a label is not kept."""
        samples = int(torch.isfinite(y).any(dim=-1).sum())
        if samples == 0:
            return
        kept = _Kept(-self._random.random(), x.detach().cpu().clone(), y.detach().cpu().clone(), samples)
        self._recent.append(kept)
        self._recent_samples += samples
        while self._recent_samples > self._room_recent:
            oldest = self._recent.popleft()
            self._recent_samples -= oldest.samples
            heapq.heappush(self._reservoir, oldest)
            self._reservoir_samples += oldest.samples
        while self._reservoir_samples > self._room_reservoir:
            self._reservoir_samples -= heapq.heappop(self._reservoir).samples

    def forget(self, keep: int) -> None:
        """Let go of the reservoir, and of the latest chunks too but for those that hold the last `keep` labelled rows.

        After a change of regime what came before it teaches the wrong thing.
        """
        self._reservoir, self._reservoir_samples = [], 0
        while self._recent_samples > keep:
            self._recent_samples -= self._recent.popleft().samples

    def state(self) -> dict[str, np.ndarray]:
        """Everything that changes, as arrays: chunks end to end, and the draws that are still to come."""
        held = [*self._recent, *self._reservoir]
        generator = json.dumps(self._random.bit_generator.state)
        return {
            "x": np.concatenate([kept.x.numpy() for kept in held] or [np.empty((0, 0), dtype=np.float32)]),
            "y": np.concatenate([kept.y.numpy() for kept in held] or [np.empty((0, 0), dtype=np.float32)]),
            "rows": np.array([len(kept.x) for kept in held], dtype=np.int64),
            "samples": np.array([kept.samples for kept in held], dtype=np.int64),
            "rank": np.array([kept.rank for kept in held], dtype=np.float64),
            "recent": np.array(len(self._recent)),
            "random": np.frombuffer(generator.encode(), dtype=np.uint8),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `state` with the same draws. Raises InputError when it does not fit into this buffer."""
        ends = np.cumsum(state["rows"])[:-1]
        held = [
            _Kept(float(rank), torch.from_numpy(x.copy()), torch.from_numpy(y.copy()), int(samples))
            for rank, samples, x, y in zip(
                state["rank"], state["samples"], np.split(state["x"], ends), np.split(state["y"], ends), strict=False
            )
        ]
        recent = int(state["recent"])
        sizes = [sum(kept.samples for kept in part) for part in (held[:recent], held[recent:])]
        if sizes[0] > self._room_recent or sizes[1] > self._room_reservoir:
            raise InputError(
                f"{sum(sizes)} replayed rows do not fit", where="replay", remedy="use the capacity they were kept with"
            )
        self._recent, self._reservoir = deque(held[:recent]), held[recent:]
        self._recent_samples, self._reservoir_samples = sizes
        self._random.bit_generator.state = json.loads(state["random"].tobytes())

    def sample(self, chunks: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Up to `chunks` different chunks, uniformly: x (n, T, F) and y (n, T, H), or None when nothing is held.

        Shorter chunks are filled up behind with zero rows whose labels are NaN.
        """
        held = [*self._recent, *self._reservoir]
        if not held or chunks == 0:
            return None
        drawn = [held[i] for i in self._random.choice(len(held), size=min(chunks, len(held)), replace=False)]
        return _stack([kept.x for kept in drawn], 0.0), _stack([kept.y for kept in drawn], np.nan)


def _stack(chunks: list[torch.Tensor], fill: float) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(chunks, batch_first=True, padding_value=fill)
