"""Feature matrices to what networks eat: centred, scaled by training rows only, clipped, float32."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.errors import InputError

CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Scaler:
    """(x - mean) / std, clipped; both are of training rows only, so that nothing later leaks into a row."""

    mean: np.ndarray
    """float64 (F,)"""
    std: np.ndarray
    """float64 (F,) with n in the divisor; 0 marks a column that was constant in training: it becomes all zeros."""
    clip: float = 8.0
    """Largest magnitude that leaves `transform`."""

    @classmethod
    def fit(cls, X: np.ndarray, rows: np.ndarray | slice, clip: float = 8.0) -> "Scaler":
        """Fit on `X[rows]` only: a bool mask (T,), row numbers, or a slice of X (T, F); NaN are left out.

        Raises InputError when no row is given, or a column has no finite value or an infinite one among them.
        """
        where = "Scaler.fit"
        if not clip > 0:
            raise InputError(f"clip {clip} is not positive", where=where, remedy="8 is the default")
        if X.ndim != 2:
            raise InputError(f"features have {X.ndim} dimensions", where=where, remedy="pass rows by columns")
        mean = np.empty(X.shape[1])
        std = np.empty(X.shape[1])
        for j in range(X.shape[1]):
            column = X[rows, j].astype(np.float64)
            if len(column) == 0:
                raise InputError("there are no training rows", where=where, remedy="use an earlier start or more bars")
            column = column[~np.isnan(column)]
            if len(column) == 0:
                remedy = "training rows must reach beyond the warm-up"
                raise InputError("no training row has a value", where=f"{where}, column {j}", remedy=remedy)
            if np.isinf(column).any():
                remedy = "features must be finite or NaN"
                raise InputError("a training row is infinite", where=f"{where}, column {j}", remedy=remedy)
            constant = column.min() == column.max()  # their mean rounds, so a tiny std would pass for a real one
            mean[j] = column[0] if constant else column.mean()
            std[j] = 0.0 if constant else column.std()
        return cls(mean, std, float(clip))

    @classmethod
    def fit_blocks(cls, blocks: Iterable[np.ndarray], clip: float = 8.0) -> "Scaler":
        """Fit on rows that come in blocks, float (N, F) each, one pass and one block in memory at a time.

        Moments of blocks are merged as Chan, Golub & LeVeque (1979, STAN-CS-79-773) do, so the result differs from
        `fit` on all rows at once by rounding only. NaN are left out. Raises InputError as `fit` does.
        """
        where = "Scaler.fit_blocks"
        if not clip > 0:
            raise InputError(f"clip {clip} is not positive", where=where, remedy="8 is the default")
        count = mean = squares = np.zeros(0)
        low = high = np.zeros(0)
        for block in blocks:
            part = block.astype(np.float64)
            known = ~np.isnan(part)
            if np.isinf(part).any():
                column = int(np.isinf(part).any(axis=0).argmax())
                remedy = "features must be finite or NaN"
                raise InputError("a training row is infinite", where=f"{where}, column {column}", remedy=remedy)
            if len(count) == 0:
                count, mean, squares = np.zeros((3, part.shape[1]))
                low, high = np.full(part.shape[1], np.inf), np.full(part.shape[1], -np.inf)
            n = known.sum(axis=0)
            here = np.where(known, part, 0.0).sum(axis=0) / np.maximum(n, 1)
            deviation = np.where(known, part - here, 0.0)
            total = np.maximum(count + n, 1)
            squares = squares + np.square(deviation).sum(axis=0) + np.square(here - mean) * count * n / total
            mean = mean + (here - mean) * n / total
            count = count + n
            low = np.fmin(low, np.where(known, part, np.inf).min(axis=0, initial=np.inf))
            high = np.fmax(high, np.where(known, part, -np.inf).max(axis=0, initial=-np.inf))
        if count.sum() == 0:
            raise InputError("there are no training rows", where=where, remedy="use an earlier start or more bars")
        if (count == 0).any():
            remedy = "training rows must reach beyond the warm-up"
            raise InputError(
                "no training row has a value", where=f"{where}, column {int((count == 0).argmax())}", remedy=remedy
            )
        constant = low == high  # their mean rounds, so a tiny std would pass for a real one
        return cls(np.where(constant, low, mean), np.where(constant, 0.0, np.sqrt(squares / count)), float(clip))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """float32 (T, F), C-contiguous, within ±clip; NaN stay NaN, columns constant in training become 0.

        Raises InputError when the number of columns differs from the one fitted.
        """
        if X.ndim != 2 or X.shape[1] != len(self.mean):
            remedy = f"pass the {len(self.mean)} columns it was fitted on, in their order"
            raise InputError(f"features have shape {X.shape}", where="Scaler.transform", remedy=remedy)
        divisor = np.where(self.std > 0, self.std, np.inf)
        out = np.empty(X.shape, dtype=np.float32)
        for start in range(0, len(X), CHUNK_ROWS):  # keeps the float64 in between off the memory bus
            part = (X[start : start + CHUNK_ROWS] - self.mean) / divisor
            out[start : start + CHUNK_ROWS] = np.clip(part, -self.clip, self.clip)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, fit for JSON; `from_dict` gives back the same bits."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), "clip": self.clip}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Scaler":
        """The scaler that `to_dict` described. Raises InputError when a field is missing or lengths differ."""
        try:
            scaler = cls(np.array(data["mean"], np.float64), np.array(data["std"], np.float64), float(data["clip"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"no scaler in it ({error})", where="saved scaler", remedy="fit it again") from error
        if scaler.mean.ndim != 1 or scaler.mean.shape != scaler.std.shape:
            raise InputError("mean and std differ in length", where="saved scaler", remedy="fit it again")
        return scaler
