"""Which values a column took over the last W seconds, and how often, kept in panes that are aligned on the epoch.

The panes are those of `tocsin.kernel.windows`. Each counts its first values exactly, up to a limit; a further value
counts as a row, but not as a value, so that what is told of values is then a lower bound. Counts are whole numbers:
they depend on the rows of the window alone, whatever came before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from tocsin import observe
from tocsin.kernel.windows import MAX_PANES
from tocsin.records import Column, Mask, Matrix, Times

ValueStatistic = Literal["distinct", "share"]
MAX_VALUES = 65_536
"""Values that a pane may count."""
_DTYPES: Mapping[str, np.dtype[Any]] = {"text": np.dtype(object), "number": np.dtype(np.float64)}
_NAN = float("nan")


class ValueWindow:
    """One entity's window over one column.

    The merged closed panes are kept and made anew only when a pane closes, so that a row costs two look-ups.
    """

    __slots__ = ("_closed", "_current", "_current_rows", "_new", "_pane", "_prefix", "_prefix_rows")

    def __init__(self) -> None:
        self._closed: list[tuple[int, int, dict[object, int]]] = []
        self._prefix: dict[object, int] = {}
        self._prefix_rows = 0
        self._pane = 0
        self._current: dict[object, int] = {}
        self._current_rows = 0
        self._new = 0

    @property
    def distinct(self) -> int:
        """How many values the window holds."""
        return len(self._prefix) + self._new

    def share(self, value: object) -> float:
        """The part of the window's rows that have this value, which the last row has: 0 < share <= 1."""
        # A row whose value its pane did not take is still one row of that value.
        rows = self._prefix.get(value, 0) + self._current.get(value, 1)
        return rows / (self._prefix_rows + self._current_rows)

    def move(self, pane: int, panes: int) -> None:
        """End the window of `panes` panes with this one."""
        if pane == self._pane:
            return
        if self._current_rows:
            self._closed.append((self._pane, self._current_rows, self._current))
        self._closed = [closed for closed in self._closed if closed[0] > pane - panes]
        prefix: dict[object, int] = {}
        for _, _, counts in self._closed:
            for value, rows in counts.items():
                prefix[value] = prefix.get(value, 0) + rows
        self._prefix, self._prefix_rows = prefix, sum(rows for _, rows, _ in self._closed)
        self._pane, self._current, self._current_rows, self._new = pane, {}, 0, 0

    def add(self, value: object, limit: int) -> bool:
        """Count a row; False if its value is new to the pane, which holds `limit` others."""
        self._current_rows += 1
        if value in self._current:
            self._current[value] += 1
        elif len(self._current) < limit:
            self._current[value] = 1
            self._new += value not in self._prefix
        else:
            return False
        return True


class ValuePanes:
    """The operation `value_panes`: of a column over one window, `distinct` values, or the `share` of the row's own.

    A missing value moves the window and stays out of it; its own share is missing.
    """

    arity: tuple[int, ...] = (1,)
    width = 1

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._pane_us, self._panes = int(constants["pane_us"]), int(constants["panes"])
        self._limit = int(constants["limit"])
        self._statistic: ValueStatistic = constants["statistic"]
        self.reads = _DTYPES[constants["reads"]]
        if self._pane_us < 1 or not 1 <= self._panes <= MAX_PANES or not 1 <= self._limit <= MAX_VALUES:
            raise ValueError(f"wanted pane_us of at least 1, 1 to {MAX_PANES} panes and a limit of 1 to {MAX_VALUES}")
        if self._statistic not in get_args(ValueStatistic):
            raise ValueError(f"unknown statistic {self._statistic!r}")

    def new_cell(self) -> ValueWindow:
        """A window that has seen nothing."""
        return ValueWindow()

    def run(
        self, cells: Sequence[ValueWindow], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask
    ) -> None:
        """Move the windows row by row and write (n, 1) into `out`; a window of values needs no warming up."""
        share, limit, panes, dropped = self._statistic == "share", self._limit, self._panes, 0
        told = []
        numbers = (times // self._pane_us).tolist()
        for cell, number, value in zip(cells, numbers, inputs[0].tolist(), strict=True):
            cell.move(number, panes)
            missing = value == "" or value != value  # noqa: PLR0124  # only NaN differs from itself
            if not missing:
                dropped += not cell.add(value, limit)
            if share:
                told.append(_NAN if missing else cell.share(value))
            else:
                told.append(cell.distinct)
        out[:, 0] = told
        if dropped:
            observe.values_dropped(self._statistic, dropped)
