"""Rows of plain decimal numbers, in JSON or CSV, straight into columns: one compiled pass over the bytes.

A thousand klines are 110 kB of text; making 12,000 objects of it, and arrays of those, takes many times as long as
reading the digits. What is read here is exact: at most 2**53 as digits, divided by a power of ten that is a double too,
which IEEE 754 rounds as a correct conversion of the text would (Clinger 1990, "How to read floating point numbers
accurately", the fast path). Anything else - a sign, an exponent, a space, a row of another width, a digit too many - is
refused as a whole, and left to the general parsers, which can name what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

_OPEN, _CLOSE, _COMMA, _LINE, _QUOTE, _POINT, _ZERO = (ord(letter) for letter in '[],\n".0')
_JSON = (_OPEN, _CLOSE, _COMMA)
_CSV = (-1, -1, _LINE)  # no mark opens or closes a line
_MOST_DIGITS = 18  # more could overflow int64
_EXACT = 1 << 53
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)  # every one of them a double without error


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Rows of `width` numbers, of which the fields `places` are wanted, in that order; those of `whole` integers."""

    width: int
    places: tuple[int, ...]
    whole: tuple[int, ...] = ()

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """For each field the column that it goes to (-1: none), int64, and whether it has to be whole, bool."""
        target, whole = np.full(self.width, -1, np.int64), np.zeros(self.width, np.bool_)
        target[list(self.places)] = np.arange(len(self.places))
        whole[list(self.whole)] = True
        return target, whole


def json_columns(text: str, layout: RowLayout) -> np.ndarray | None:
    """The wanted fields of `[[...],[...]]`, quoted or not, as float64 (len(places), rows); None when it is not that."""
    if not (text.startswith("[[") and text.endswith("]]") and text.isascii()):
        return None
    content = text.encode()
    out = np.empty((len(layout.places), content.count(b"[") - 1))
    found = _read(np.frombuffer(content, np.uint8), 1, len(content) - 1, *_JSON, *layout.arrays(), _POWERS, out, 0)
    return out if found == out.shape[1] else None


def csv_columns(pieces: Iterable[bytes], layout: RowLayout, most: int) -> np.ndarray | None:
    """The wanted fields of a CSV text, cut into `pieces` anywhere, as float64 (len(places), rows).

    A first line that does not begin with a digit is taken for a header. None when the text is anything but lines of
    plain numbers, and when it has more than `most` of them. Raises what `pieces` raises.
    """
    out, arrays, found = np.empty((len(layout.places), most)), layout.arrays(), 0
    for block in _whole_lines(pieces):
        start = 0 if found or block[:1].isdigit() else block.find(b"\n") + 1
        if start < len(block):
            found = _read(np.frombuffer(block, np.uint8), start, len(block) - 1, *_CSV, *arrays, _POWERS, out, found)
            if found < 0:
                return None
    return out[:, :found] if found else None


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The text in blocks of whole lines; the last line gets its line feed where it lacks it."""
    rest = b""
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
        rest = piece[cut:] if cut else rest + piece
    if rest:
        yield rest + b"\n"


@njit(cache=True, nogil=True)
def _read(
    text: np.ndarray,
    start: int,
    stop: int,
    opening: int,
    closing: int,
    between: int,
    target: np.ndarray,
    whole: np.ndarray,
    powers: np.ndarray,
    out: np.ndarray,
    row: int,
) -> int:
    """Read rows of text[start:stop] into `out` from column `row` on; the next free one, or -1 for a byte out of place.

    `text[stop]` exists and is a mark that no number holds, so that scanning a number ends there at the latest.
    """
    # unsigned throughout: a signed index would be looked at for being negative, which doubles the time
    at, end, one = np.uint64(start), np.uint64(stop), np.uint64(1)
    last = len(target) - 1
    while True:
        if row == out.shape[1]:
            return -1
        if opening >= 0:
            if text[at] != opening:
                return -1
            at += one
        for field in range(last + 1):
            quoted = text[at] == _QUOTE
            if quoted:
                at += one
            digits, begin = np.uint64(0), at
            digit = np.uint8(text[at] - _ZERO)  # below zero it wraps around, to above nine
            while digit <= 9:
                digits = digits * np.uint64(10) + np.uint64(digit)
                at += one
                digit = np.uint8(text[at] - _ZERO)
            length, decimals = np.int64(at - begin), np.int64(0)
            if length == 0:
                return -1
            if text[at] == _POINT:
                at += one
                begin = at
                digit = np.uint8(text[at] - _ZERO)
                while digit <= 9:
                    digits = digits * np.uint64(10) + np.uint64(digit)
                    at += one
                    digit = np.uint8(text[at] - _ZERO)
                decimals = np.int64(at - begin)
                if decimals == 0 or whole[field]:
                    return -1
            if length + decimals > _MOST_DIGITS:
                return -1
            mantissa = np.int64(digits)
            while mantissa > _EXACT and decimals > 0 and mantissa % 10 == 0:
                mantissa //= 10
                decimals -= 1
            if mantissa > _EXACT:
                return -1
            if quoted:
                if text[at] != _QUOTE:
                    return -1
                at += one
            if field < last:
                if text[at] != _COMMA:
                    return -1
                at += one
            if target[field] >= 0:
                out[target[field], row] = mantissa / powers[decimals]
        if closing >= 0:
            if text[at] != closing:
                return -1
            at += one
        row += 1
        if at == end:
            return row
        if text[at] != between:
            return -1
        at += one
