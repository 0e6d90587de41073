"""What the audits do to their input: keep some of its rows, or change some into others that are as valid.

Input is a dataclass of arrays of one length, such as `BarArrays`, or `Events`.
"""

import re
from dataclasses import fields, replace
from typing import Any

import numpy as np

from data_pipeline.errors import InputError
from features.events import Events

BAR_COLUMN = re.compile(
    r"(?P<whose>.*?)(?P<what>open|high|low|close|volume|quote_volume|trades|taker_buy_volume|taker_buy_quote_volume)"
)
"""A column of bars, with whose they are where a series holds those of two instruments (leader_close)."""
PRICE_COLUMN = re.compile(r"(.*_)?(price|px)")
FLAGS = ("buyer_is_maker",)
"""Columns of 0 and 1."""


def take(series: Any, rows: np.ndarray) -> Any:
    """The rows that the mask (T,) keeps, as new contiguous arrays."""
    if isinstance(series, Events):
        columns = {name: values[rows] for name, values in series.columns.items()}
        return Events(series.time_ns[rows], series.local_time_ns[rows], columns)
    arrays = {field.name: getattr(series, field.name) for field in fields(series)}
    return replace(series, **{name: values[rows] for name, values in arrays.items() if isinstance(values, np.ndarray)})


def perturb(series: Any, changed: np.ndarray, seed: int = 0) -> Any:
    """The series with other prices and sizes in the rows that the mask `changed` (T,) names, at the same times.

    All prices of a row are scaled by one random factor, up or down, so that the levels of a book keep their order; a
    bar with a range is stretched and opens and closes elsewhere in it. Sizes are scaled by factors of their own, with
    what takers bought below the whole, and flags are drawn anew. So a sum, a maximum, a mean, a rank or a sign over the
    changed rows all move. Two instruments in one series (whose columns differ by a prefix) move apart.

    Raises InputError when no column is a float array.
    """
    rng = np.random.default_rng((seed, int(np.argmax(changed))))
    columns = _numbers(series)
    rows = int(changed.sum())
    shared_price = _price_factor(rng, rows)
    others: dict[str, np.ndarray] = {}
    instruments = dict.fromkeys(match["whose"] for match in map(BAR_COLUMN.fullmatch, columns) if match)
    for whose in instruments:
        others |= _other_bars({name: columns[name][changed] for name in columns if _is_bar_of(whose, name)}, whose, rng)
    for name in columns:
        if name in FLAGS:
            others[name] = np.where(np.isnan(columns[name][changed]), np.nan, rng.integers(0, 2, rows))
        elif PRICE_COLUMN.fullmatch(name):
            others[name] = columns[name][changed] * shared_price
        elif name not in others:
            others[name] = columns[name][changed] * np.exp(0.5 + rng.standard_normal(rows))
    whole = {name: values.copy() for name, values in columns.items()}
    for name, values in others.items():
        whole[name][changed] = values
    return replace(series, columns=whole) if isinstance(series, Events) else replace(series, **whole)


def _numbers(series: Any) -> dict[str, np.ndarray]:
    """The float columns by name. Raises InputError when there are none."""
    found = series.columns if isinstance(series, Events) else {f.name: getattr(series, f.name) for f in fields(series)}
    columns = {name: values for name, values in found.items() if getattr(values, "dtype", None) == np.float64}
    if not columns:
        raise InputError("there is no column of numbers", where="audit", remedy="audit functions of bars or events")
    return columns


def _is_bar_of(whose: str, name: str) -> bool:
    match = BAR_COLUMN.fullmatch(name)
    return match is not None and match["whose"] == whose


def _price_factor(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.exp(rng.choice((-0.5, 0.5), rows) + 0.2 * rng.standard_normal(rows))


def _other_bars(bars: dict[str, np.ndarray], whose: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Other bars of one instrument: columns (rows,) by full name, which begins with `whose`."""
    rows = len(next(iter(bars.values())))
    price = _price_factor(rng, rows)
    up, down = 1.0 + 1e-3 * rng.random((2, rows))
    size, count, taker = np.exp(0.5 + rng.standard_normal((3, rows)))
    taker_share = taker / (1.0 + taker)  # below 1: the taker's part cannot exceed the whole
    factors = {
        "open": price,
        "high": price * up,
        "low": price / down,
        "close": price,
        "volume": size,
        "quote_volume": size * price,
        "trades": 1.0 + np.ceil(count),
        "taker_buy_volume": size * taker_share,
        "taker_buy_quote_volume": size * price * taker_share,
    }
    other = {name: values * factors[name.removeprefix(whose)] for name, values in bars.items()}
    if f"{whose}high" in other and f"{whose}low" in other:
        high, low = other[f"{whose}high"], other[f"{whose}low"]
        for name in (f"{whose}open", f"{whose}close"):
            if name in other:
                other[name] = np.clip(low + rng.random(rows) * (high - low), low, high)
    return other
