"""What is left of a column once its daily or weekly rhythm is taken away.

Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993 (median and its absolute deviation).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import SchemaError
from tocsin.features.base import Feature, Tables
from tocsin.features.calendar import Calendar
from tocsin.kernel.columns import CalendarPart
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.kernel.seasons import FURTHEST, MAX_CELLS, SIZES
from tocsin.records import Batch, Column, Vector
from tocsin.schema import Schema

Cells = NDArray[np.int64]
Table = dict[str, list[float]]
"""Usual value and spread of every combination of parts."""
_NOTHING: Table = {"usual": [], "spread": []}

# What a median absolute deviation is multiplied by to be the standard deviation of a normal variable.
_TO_STANDARD = 1.4826


class Residual(Feature):
    """`<column>_residual` = (value - usual) / spread, with what is usual at this hour or on this day.

    Take it where the same value is normal at noon and strange at night. Median and robust deviation are learnt on the
    training rows of the same season, over all entities, and frozen: columns whose level differs from host to host
    want `zscore` instead. A season that was seen too seldom goes by the coarser one, which lacks its last part, and
    in the end by all rows. A column with no value in training has no residual.

    Parameters
    ----------
    columns
        Numeric fields.
    season
        Parts of local time as in `calendar`, the most telling first; each combination is a season of its own. With
        hour and weekend, a week of history holds every hour of a working day five times and of the weekend twice.
    timezone
        IANA name of the place's zone, such as `Europe/Berlin`; daylight saving time is followed.
    min_rows
        Fewer values than this make no season.
    min_spread
        Smallest spread, in the column's own unit and greater than 0, so that a season of equal values does not turn
        noise into alarms.

    Raises
    ------
    SchemaError
        If a column is no numeric field, the schema has no clock, or there is no such zone.
    ValueError
        If there is no column, if the season has no parts, one twice or too many combinations, or if min_rows or
        min_spread is out of range.

    Examples
    --------
    >>> Residual(columns=("bytes",), season=("hour",), timezone="Europe/Berlin").names({})
    ('bytes_residual',)
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        season: tuple[CalendarPart, ...] = ("hour", "is_weekend"),
        timezone: str = "UTC",
        min_rows: int = 20,
        min_spread: float = 1e-6,
    ) -> None:
        self.columns = columns
        self.season = season
        self.timezone = timezone
        self.min_rows = min_rows
        self.min_spread = min_spread
        if not columns:
            raise ValueError("no columns, wanted at least one")
        if not season or len(set(season)) < len(season):
            raise ValueError(f"season is {', '.join(season) or 'empty'}, wanted one part or several different ones")
        if prod(self._sizes()) > MAX_CELLS:
            raise ValueError(f"season has {prod(self._sizes()):,} combinations, wanted at most {MAX_CELLS:,}")
        if min_rows < 1:
            raise ValueError(f"min_rows is {min_rows}, wanted at least 1")
        if not 1 / FURTHEST <= min_spread <= FURTHEST:
            raise ValueError(f"min_spread is {min_spread:g}, wanted a number greater than 0, at most {FURTHEST:g}")

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("bytes", "temperature"), season=("hour", "minute"), timezone="Europe/Berlin", min_rows=4)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_residual" for column in self.columns)

    def learn(self, schema: Schema, batch: Batch) -> dict[str, Table]:
        for column in self.columns:
            if column not in schema.fields:
                hint = "what is usual is learnt from training rows, before any feature is computed"
                raise SchemaError(repr(self), f'"{column}", which is no field', "a field of the schema", hint)
            self.numeric(schema, column)
        if not batch.rows:
            return dict.fromkeys(self.columns, _NOTHING)
        cells = self._cells(schema, batch)
        return {column: self._table(batch[column], cells) for column in self.columns}

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        clock = self.clock(schema)
        for column in self.columns:
            self.numeric(schema, column)
        # Two features could share these names only by sharing an output, too, which is refused.
        parts = tuple(f"{self.names(tables)[0]} by {part}" for part in self.season)
        return (
            self._calendar(clock, parts),
            *(
                Operation("residual", (column, *parts), (name,), {"season": self.season, **tables[column]})
                for column, name in zip(self.columns, self.names(tables), strict=True)
            ),
        )

    def _calendar(self, clock: str, names: tuple[str, ...]) -> Operation:
        return Calendar(parts=self.season, timezone=self.timezone).operation(repr(self), clock, names)

    def _sizes(self) -> list[int]:
        return [SIZES[part] for part in self.season]

    def _cells(self, schema: Schema, batch: Batch) -> Cells:
        """The place of every row in the table, (n,), by the kernel's own calendar."""
        clock = self.clock(schema)
        kernel = Kernel(Program((self._calendar(clock, self.season),), self.season, clock))
        parts = kernel.run(batch, kernel.start()).values.astype(np.int64)
        cells: Cells = np.ravel_multi_index(tuple((parts % self._sizes()).T), self._sizes())
        return cells

    def _table(self, column: Column, cells: Cells) -> Table:
        present = np.isfinite(column)
        values, cells = np.clip(column[present], -FURTHEST, FURTHEST), cells[present]
        if not len(values):
            return _NOTHING
        table = np.empty((prod(self._sizes()), 2))
        # The finer seasons are written over the coarser ones, which begin with all rows.
        for depth in range(len(self.season) + 1):
            width = prod(self._sizes()[depth:])
            for season, inside in _groups(values, cells // width):
                if depth == 0 or len(inside) >= self.min_rows:
                    table[season * width : (season + 1) * width] = self._usual(inside)
        return {"usual": table[:, 0].tolist(), "spread": table[:, 1].tolist()}

    def _usual(self, values: Vector) -> tuple[float, float]:
        median = float(np.median(values))
        spread = _TO_STANDARD * float(np.median(np.abs(values - median)))
        return median, max(spread, self.min_spread)


def _groups(values: Vector, groups: Cells) -> Iterator[tuple[int, Vector]]:
    """The number of each group, and its values."""
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    return zip(numbers.tolist(), np.split(values[order], starts[1:]), strict=True)
