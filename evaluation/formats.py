"""Numbers as people read them: a sign where it matters, a true minus, a dash for what is not known."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def signed(value: float, digits: int) -> str:
    """A number with its sign (none for zero) and thousands apart."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:+,.{digits}f}".replace("-", "−")
    return text if any(digit in "123456789" for digit in text) else text.lstrip("+−")


def plain(value: float, digits: int) -> str:
    """A number without a plus sign."""
    return signed(value, digits).removeprefix("+")


def percent(value: float, digits: int = 2) -> str:
    """A signed share in per cent; from 100-fold on as a multiple, "×1,234", which says more than its percentage."""
    if value >= 100.0 and math.isfinite(value):
        return times(1.0 + value)
    if abs(value) >= 10.0:
        digits = 0
    return f"{signed(value * 100.0, digits)} %" if not math.isnan(value) else "–"


def times(factor: float) -> str:
    """A large factor, "×1,234", from a million on by its power of ten, "×2.4·10⁷"."""
    if factor < 1e6:
        return f"×{factor:,.0f}"
    mantissa, exponent = f"{factor:.1e}".split("e")
    return f"×{mantissa}·10{str(int(exponent)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def share(value: float, digits: int = 0) -> str:
    """An unsigned share in per cent, from 100-fold on as a multiple."""
    if value >= 100.0 and math.isfinite(value):
        return times(value)
    return f"{plain(value * 100.0, digits)} %" if not math.isnan(value) else "–"


def bps(value: float) -> str:
    """Signed basis points."""
    return f"{signed(value, 1)} bps" if not math.isnan(value) else "–"


def p_value(value: float) -> str:
    """A p-value to three decimals, "< 0.001" below."""
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_equals(value: float) -> str:
    """ "p = 0.031" or "p < 0.001"."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def probability(value: float) -> str:
    """A probability to two decimals, never rounded to certainty."""
    if math.isnan(value):
        return "–"
    return "< 0.01" if value < 0.005 else "> 0.99" if value > 0.995 else f"{value:.2f}"


def counted(n: int, noun: str) -> str:
    """ "1 trade", "3,229 trades"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def date(ms: int, year: bool = True) -> str:
    """A UTC day: "5 January 2020", or "5 Jan" without the year."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y}" if year else f"{moment.day} {moment:%b}"
