"""Statistics over the last W seconds, kept in panes that are aligned on the epoch.

A window of W microseconds has P panes of g = W // P. At time t it covers the panes floor(t/g) - P + 1 to
floor(t/g), so its length lies in (W - g, W]. Panes are merged from the oldest to the newest and nothing is ever
subtracted: a value depends on the rows of its window alone, whatever came before them.

Source: Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 1962 (one
value); Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979 (two
panes).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import repeat
from math import inf
from typing import Any, Literal, get_args

import numpy as np

from tocsin.records import Column, Mask, Matrix, Times

Statistic = Literal["mean", "std", "min", "max", "count", "sum"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
MAX_PANES = 1_024

Aggregate = tuple[float, float, float, float, float, float]
"""Count, mean, sum of squared distances from the mean, smallest, largest, sum."""
_EMPTY: Aggregate = (0.0, 0.0, 0.0, inf, -inf, 0.0)
_STORED = 1 + len(_EMPTY)
"""Doubles of a closed pane: its number and its aggregate."""


def _grown(pane: Aggregate, value: float) -> Aggregate:
    count, mean, squares, low, high, total = pane
    count += 1.0
    distance = value - mean
    mean += distance / count
    squares += distance * (value - mean)
    return count, mean, squares, (value if value < low else low), (value if value > high else high), total + value


def _merged(older: Aggregate, newer: Aggregate) -> Aggregate:
    a_count, a_mean, a_squares, a_low, a_high, a_total = older
    if a_count == 0.0:
        return newer
    b_count, b_mean, b_squares, b_low, b_high, b_total = newer
    if b_count == 0.0:
        return older
    count = a_count + b_count
    distance = b_mean - a_mean
    return (
        count,
        a_mean + distance * (b_count / count),
        a_squares + b_squares + distance * distance * (a_count * b_count / count),
        b_low if b_low < a_low else a_low,
        b_high if b_high > a_high else a_high,
        a_total + b_total,
    )


class PaneWindow:
    """One entity's window over one column.

    The merged closed panes are kept and made anew only when a pane closes, so that a row costs one merge.
    """

    __slots__ = ("_closed", "_current", "_pane", "_prefix")

    def __init__(self) -> None:
        self._closed = array("d")
        self._prefix = _EMPTY
        self._pane = 0
        self._current = _EMPTY

    def add(self, pane: int, value: float, panes: int) -> Aggregate:
        """The window of `panes` panes that ends with this value; NaN moves the window and stays out of it."""
        if pane != self._pane:
            self._advance(pane, panes)
        if value == value:  # noqa: PLR0124  # only NaN differs from itself, and math.isnan costs a call per row
            self._current = _grown(self._current, value)
        return _merged(self._prefix, self._current)

    def _advance(self, pane: int, panes: int) -> None:
        closed = self._closed
        if self._current[0]:
            closed.extend((self._pane, *self._current))
        gone = 0
        while gone < len(closed) and closed[gone] <= pane - panes:
            gone += _STORED
        del closed[:gone]
        prefix = _EMPTY
        for _, count, mean, squares, low, high, total in zip(*[iter(closed)] * _STORED, strict=True):
            prefix = _merged(prefix, (count, mean, squares, low, high, total))
        self._prefix, self._pane, self._current = prefix, pane, _EMPTY


class Panes:
    """The operation `panes`: statistics of a column, or with no column the count of rows, over one window.

    A statistic is NaN below `min_count` values, save the count itself; the standard deviation (ddof 1) also at one.
    """

    reads: np.dtype[Any] = np.dtype(np.float64)
    arity: tuple[int, ...] = (0, 1)

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._pane_us, self._panes = int(constants["pane_us"]), int(constants["panes"])
        self._min_count = int(constants["min_count"])
        self._statistics = tuple(constants["statistics"])
        if self._pane_us < 1 or not 1 <= self._panes <= MAX_PANES or self._min_count < 1:
            raise ValueError(f"wanted pane_us and min_count of at least 1, and 1 to {MAX_PANES} panes")
        if unknown := set(self._statistics) - set(STATISTICS):
            raise ValueError(f"unknown statistics {sorted(unknown)}")
        self.width = len(self._statistics)

    def new_cell(self) -> PaneWindow:
        """A window that has seen nothing."""
        return PaneWindow()

    def run(self, cells: Sequence[PaneWindow], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask) -> None:
        """Move the windows row by row, write (n, statistics) into `out`, and False into `warm` below `min_count`."""
        values = inputs[0].tolist() if inputs else repeat(1.0, len(times))
        numbers = (times // self._pane_us).tolist()
        panes = self._panes
        windows = [cell.add(number, value, panes) for cell, number, value in zip(cells, numbers, values, strict=True)]
        count, mean, squares, low, high, total = np.array(windows).T
        enough = count >= self._min_count
        for position, statistic in enumerate(self._statistics):
            if statistic == "count":
                out[:, position] = count
                continue
            if statistic == "std":
                chosen = np.sqrt(squares / np.where(count > 1.0, count - 1.0, np.nan))
            else:
                chosen = {"mean": mean, "min": low, "max": high, "sum": total}[statistic]
            out[:, position] = np.where(enough, chosen, np.nan)
        out[np.isinf(out)] = np.nan
        if inputs and self._statistics != ("count",):
            # A row whose own value is missing has a missing input, however full its window is.
            warm &= enough | np.isnan(inputs[0])
