"""What describes a feature and a kind of input, as data. Imports nothing heavy: listing features needs no compiler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One column of the feature matrix."""

    name: str
    family: str
    inputs: tuple[str, ...]
    """Fields of the kind it reads; it exists only for sources that give them all in every row."""
    window: int
    """Look-back of the feature itself, in rows (of an exponential average: its span); a σ it divides by has its own."""
    warmup: int
    """Leading rows of a contiguous stretch in which it is not yet defined."""
    formula: str
    reference: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input (bars, trades, ...): its columns and the features made from them."""

    name: str
    """Also the name of the package `features.<name>`, whose module `kernel` holds the compiled `KERNEL`."""
    time_field: str
    """The key column, int64; its suffix is its unit (`_ms`, `_ns`)."""
    fields: tuple[str, ...]
    """The other columns, float64, in the order of the rows that the compiled step reads."""
    optional: tuple[str, ...]
    """Fields that a source may lack (NaN); features that read one are then left out by `available_features`."""
    parameters: type[Any]
    """Frozen dataclass of numbers and tuples of numbers, all with defaults: windows and the like."""
    catalogue: Callable[[Any], tuple[FeatureSpec, ...]]
    """Every feature for these parameters, in catalogue order."""
