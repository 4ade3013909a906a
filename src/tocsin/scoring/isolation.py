"""Finds the rows on which a part raises, by halving, and scores the others as if these had never come.

What rows move is set aside before they are tried, and given back where one of them fails, so that each half begins
where the rows before it ended.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tocsin.component import Part, snake_case
from tocsin.errors import ModelBroken
from tocsin.observe import live
from tocsin.records import FILE, NOT_SCORED, ROW, Batch, Mask, Rejected
from tocsin.schema.record_text import record_text

MOST_IN_A_ROW = 100
"""Rows one after the other on which a part raises: with one more it is no row that is at fault."""

Found = TypeVar("Found")
GiveBack = Callable[[], None]


class Isolation:
    """Sets rows apart.

    Parameters
    ----------
    time
        The column of event times.
    failing
        Rows that were set apart one after the other up to now.
    """

    def __init__(self, time: str | None, failing: int = 0) -> None:
        self.failing = failing
        self._time = time
        self._refused: list[Rejected] = []
        self._again = False

    def refused(self) -> list[Rejected]:
        """Rows that were set apart since the last call."""
        found, self._refused = self._refused, []
        return found

    def scored(
        self, judge: Callable[[Batch, Mask], Found], keep: Callable[[Batch], GiveBack], rows: Batch, late: Mask
    ) -> tuple[Found | None, int]:
        """What is found of the rows that can be judged, None if none can, and how many cannot.

        With k of n rows at fault there are no more than 2 k log2(n) + 2 tries.

        Parameters
        ----------
        judge
            Takes rows, and which of them are too late.
        keep
            Sets aside what these rows may move; what it answers gives that back.
        rows, late
            All rows in their order, and which of them are too late.

        Raises
        ------
        ModelBroken
            If too many rows fail one after the other.
        """
        give_all_back, good = keep(rows), np.ones(rows.rows, dtype=bool)
        pieces = [slice(0, rows.rows)]
        while pieces:
            piece = pieces.pop()
            some, middle = rows.take(piece), (piece.start + piece.stop) // 2
            give_back = keep(some)
            try:
                found = judge(some, late[piece])
            except Exception as error:  # noqa: BLE001  # whatever a part raises
                give_back()
                if middle > piece.start:
                    pieces += [slice(middle, piece.stop), slice(piece.start, middle)]
                else:
                    good[piece] = False
                    self._refuse(some, error)
            else:
                self.failing = 0
                if some.rows == rows.rows:
                    return found, 0
        if not good.any():
            return None, rows.rows
        give_all_back()  # once more and in one piece: an alert tells of all rows that came with its own
        return judge(rows.take(good), late[good]), int(np.count_nonzero(~good))

    def _refuse(self, row: Batch, error: Exception) -> None:
        self.failing += 1
        what, file, number = fault(error), str(row[FILE][0]), int(row[ROW][0])
        if self.failing > MOST_IN_A_ROW:
            got = f"{what} on {self.failing} rows in a row, the last of them row {number} of {file}"
            hint = "these rows are not committed: go back with tocsin models rollback, and start the service again"
            raise ModelBroken("model", got, "one that can score rows", hint) from error
        live.row_not_scored(what, error, again=self._again)
        self._again = True
        text = record_text(row.replace({self._time: row[self._time].astype("M8[us]")}) if self._time else row, 0)
        self._refused.append(Rejected(file, number, NOT_SCORED, what, text))


def fault(error: Exception) -> str:
    """What was raised and in which part, or module where it was none; not what is said of it, which may hold values."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    parts = [one for frame in frames if isinstance(one := frame.f_locals.get("self"), Part)]
    where = snake_case(type(parts[-1]).__name__) if parts else str(frames[-1].f_globals.get("__name__", "unknown"))
    return f"{type(error).__name__} in {where}"
