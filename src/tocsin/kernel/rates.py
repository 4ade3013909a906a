"""Change per second since the entity's last present value.

A counter that falls has wrapped or was reset. It wrapped if the way on, modulo its range, is shorter than a quarter
of that range: RFC 2863 reserves 32-bit octet counters for links up to 20 Mbit/s, which move by less than that in
five minutes. Every other fall is a reset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tocsin.records import SECOND, Column, Mask, Matrix, Times

_WRAP_SHARE = 0.25
_NAN = float("nan")


class Last:
    """One entity's last present value of one column, and its time."""

    __slots__ = ("time", "value")

    def __init__(self) -> None:
        self.time: int | None = None
        self.value = 0.0


class Rate:
    """The operation `rate`: NaN without an earlier value within the gap, and where time does not move on.

    A missing value, and a value that comes late or at the same time, leaves the last one in place.
    """

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (1,)
    width = 1

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._max_gap_us = int(constants["max_gap_us"])
        self._from_zero = constants["reset"] == "from_zero"
        bits = constants["bits"]
        if bits not in (None, 32, 64):
            raise ValueError(f"wanted bits of 32, 64 or none, got {bits!r}")
        self._range = None if bits is None else 2.0**bits

    def new_cell(self) -> Last:
        """A cell that has seen no value."""
        return Last()

    def run(self, cells: Sequence[Last], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask) -> None:
        """Move the cells row by row and write (n, 1) into `out`."""
        rows = zip(cells, times.tolist(), inputs[0].tolist(), strict=True)
        out[:, 0] = [self._per_second(last, time, value) for last, time, value in rows]
        out[np.isinf(out)] = np.nan

    def _per_second(self, last: Last, time: int, value: float) -> float:
        if value != value:  # noqa: PLR0124  # only NaN differs from itself, and math.isnan costs a call per row
            return _NAN
        before = last.time
        if before is not None and time <= before:
            return _NAN
        change = value - last.value
        last.time, last.value = time, value
        if before is None or time - before > self._max_gap_us:
            return _NAN
        if self._range is not None and change < 0.0:
            change = self._fallen(change, value, self._range)
        return change / ((time - before) / SECOND)

    def _fallen(self, change: float, value: float, full: float) -> float:
        way_on = change + full
        if way_on < full * _WRAP_SHARE:
            return way_on
        return value if self._from_zero else _NAN
