"""Operations that look at one row alone: they hold no state and run over whole columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tocsin.records import SECOND, Column, Matrix

CalendarPart = Literal[
    "hour", "minute", "second", "minute_of_day", "day_of_week", "month", "is_weekend", "is_business_hours"
]
PERIODS: Mapping[CalendarPart, int] = {
    "hour": 24,
    "minute": 60,
    "second": 60,
    "minute_of_day": 1_440,
    "day_of_week": 7,
    "month": 12,
}
"""After how many steps a part starts again; the others are flags."""
MAX_BINS = 4_096
_HASH_KEY = b"tocsin.category.1"
_DAY_S = 86_400
_Seconds = NDArray[np.int64]


class Log1p:
    """The operation `log1p`: log(1 + x) of one column."""

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (1,)
    width = 1

    def __init__(self, constants: Mapping[str, Any]) -> None:
        """Take no constants."""

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, 1) into `out`."""
        # A contiguous array takes the same path through numpy for one row and for many, and so gives the same bits.
        out[:, 0] = np.log1p(np.ascontiguousarray(inputs[0]))


class Ratio:
    """The operation `ratio`: numerator / (denominator + offset), NaN where that is no finite number."""

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (2,)
    width = 1

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._offset = float(constants["offset"])

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, 1) into `out`."""
        with np.errstate(over="ignore"):
            below = inputs[1] + self._offset
            out[:, 0] = inputs[0] / np.where(below == 0.0, np.nan, below)
        out[np.isinf(out)] = np.nan


class Calendar:
    """The operation `calendar`: parts of local time, from UTC and a stored table of clock changes."""

    reads: np.dtype[Any] = np.dtype(np.int64)
    arity: tuple[int, ...] = (1,)

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._changes = np.array(constants["changes"], dtype=np.int64)
        self._offsets = np.array(constants["offsets"], dtype=np.int64)
        self._parts: tuple[CalendarPart, ...] = tuple(constants["parts"])
        self._circles = {part: np.array(circle, dtype=np.float64) for part, circle in constants["circles"].items()}
        if len(self._offsets) != len(self._changes) + 1 or (np.diff(self._changes) <= 0).any():
            raise ValueError("wanted ascending clock changes and one more offset than changes")
        if unknown := set(self._parts) - set(get_args(CalendarPart)):
            raise ValueError(f"unknown parts {sorted(unknown)}")
        if any(circle.shape != (PERIODS[part], 2) for part, circle in self._circles.items()):
            raise ValueError("wanted a sine and a cosine for each step of a part")
        self.width = sum(2 if part in self._circles else 1 for part in self._parts)

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, width) into `out`."""
        seconds = inputs[0] // SECOND
        local = seconds + self._offsets[np.searchsorted(self._changes, seconds, side="right")]
        position = 0
        for part in self._parts:
            value = _PARTS[part](local)
            if part in self._circles:
                out[:, position : position + 2] = self._circles[part][value % PERIODS[part]]
                position += 2
            else:
                out[:, position] = value
                position += 1


def _hour(local: _Seconds) -> _Seconds:
    return local // 3_600 % 24


def _day_of_week(local: _Seconds) -> _Seconds:
    # 1 January 1970 was a Thursday, and Monday is 0.
    return (local // _DAY_S + 3) % 7


_PARTS: Mapping[CalendarPart, Callable[[_Seconds], NDArray[Any]]] = {
    "hour": _hour,
    "minute": lambda local: local // 60 % 60,
    "second": lambda local: local % 60,
    "minute_of_day": lambda local: local // 60 % 1_440,
    "day_of_week": _day_of_week,
    "month": lambda local: local.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1,
    "is_weekend": lambda local: _day_of_week(local) >= 5,
    "is_business_hours": lambda local: (_hour(local) >= 9) & (_hour(local) <= 17),
}


class OneHot:
    """The operation `one_hot`: a column per value of a vocabulary, then one for everything else."""

    reads: np.dtype[Any] = np.dtype(object)
    arity: tuple[int, ...] = (1,)

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._codes = {str(value): code for code, value in enumerate(constants["values"])}
        self.width = len(self._codes) + 1

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, width) zeros and ones into `out`."""
        codes, other = self._codes, len(self._codes)
        chosen = np.fromiter((codes.get(value, other) for value in inputs[0].tolist()), np.intp, len(out))
        out[:] = 0.0
        out[np.arange(len(out)), chosen] = 1.0


class HashOneHot:
    """The operation `hash_one_hot`: a column per bin of a keyed hash; a missing value falls into none."""

    reads: np.dtype[Any] = np.dtype(object)
    arity: tuple[int, ...] = (1,)

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self.width = int(constants["bins"])
        if not 1 <= self.width <= MAX_BINS:
            raise ValueError(f"wanted 1 to {MAX_BINS} bins")

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, bins) zeros and ones into `out`."""
        values = inputs[0].tolist()
        bins = {value: self._bin(value) for value in set(values) if value}
        out[:] = 0.0
        present = np.fromiter((bool(value) for value in values), bool, len(out))
        out[present, [bins[value] for value in values if value]] = 1.0

    def _bin(self, value: str) -> int:
        # A lone surrogate can come out of a lenient decoder and must not stop a row.
        digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, key=_HASH_KEY).digest()
        return int.from_bytes(digest, "little") % self.width
