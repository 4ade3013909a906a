"""Statistics of the last minutes or hours, per entity and up to the row itself."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.windows import Statistic
from tocsin.schema import Schema


class Rolling(Feature):
    """`<column>_<statistic>_<window>`, and without columns `count_<window>`, the number of rows.

    Take it to see a row against what its entity did just before. The row itself is in the window, a row of equal
    time that comes after it is not. A missing value stays out.

    Windows move in panes that are aligned on the epoch: of a window W in P panes, between W - W/P and W are seen.
    More panes follow time more closely and cost memory and time in proportion; at the default 12, a five-minute
    window moves every 25 s.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features; none with `statistics: [count]` alone.
    windows
        Durations; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    statistics
        `mean`, `std` (ddof 1, missing for a single value), `min`, `max`, `count`, `sum`.
    panes
        Per window, 1 to 1024.
    min_count
        Fewer values than this leave every statistic but the count missing, and the row warming up.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock.
    ValueError
        If panes or min_count are out of range, a window is shorter than its panes in microseconds, or there is no
        column to take a statistic of.

    Examples
    --------
    >>> Rolling(columns=("bytes",), windows=(300.0,), statistics=("mean", "max")).names({})
    ('bytes_mean_5m', 'bytes_max_5m')
    >>> Rolling(windows=(60.0,), statistics=("count",)).names({})
    ('count_1m',)
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...] = (),
        windows: tuple[Duration, ...] = (60.0, 300.0),
        statistics: tuple[Statistic, ...] = ("mean", "std", "min", "max"),
        panes: int = 12,
        min_count: int = 1,
    ) -> None:
        self.columns = columns
        self.windows = tuple(seconds(window) for window in windows)
        self.statistics = statistics
        self.panes = panes
        self.min_count = min_count
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}, wanted at least 1")
        if not statistics or (not columns and set(statistics) != {"count"}):
            raise ValueError(f"{', '.join(statistics) or 'no statistic'} of no column, wanted columns, or count alone")
        for window in self.windows:
            pane_us(window, panes)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(
            columns=("bytes", "temperature"), statistics=("mean", "std", "min", "max", "count", "sum"), min_count=2
        )

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(
            name for column in self._columns() for window in self.windows for name in self._names(column, window)
        )

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        for column in self.columns:
            self.numeric(schema, column)
        return tuple(self._operation(column, window) for column in self._columns() for window in self.windows)

    def _columns(self) -> tuple[str | None, ...]:
        return self.columns or (None,)

    def _operation(self, column: str | None, window: float) -> Operation:
        constants = {
            "pane_us": pane_us(window, self.panes),
            "panes": self.panes,
            "statistics": self.statistics,
            "min_count": self.min_count,
        }
        return Operation("panes", () if column is None else (column,), self._names(column, window), constants)

    def _names(self, column: str | None, window: float) -> tuple[str, ...]:
        prefix = "" if column is None else f"{column}_"
        return tuple(f"{prefix}{statistic}_{window_text(window)}" for statistic in self.statistics)
