"""Statistics of the last minutes or hours, per entity and up to the row itself."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.recent import MAX_RECENT
from tocsin.kernel.windows import Statistic
from tocsin.records import SECOND
from tocsin.schema import Schema

_PANES = 12
_LIMIT = 128


class Rolling(Feature):
    """`<column>_<statistic>_<window>`, and without columns `count_<window>`, the number of rows.

    Take it to see a row against what its entity did just before. The row itself is in the window, a row of equal
    time that comes after it is not. A missing value stays out.

    Windows move in panes that are aligned on the epoch: of a window W in P panes, between W - W/P and W are seen.
    More panes follow time more closely and cost memory in proportion; of 12 panes, a five-minute window moves every
    25 s. An exact window is that of the last W seconds to the microsecond: take it for short windows of
    few rows, since it keeps the values themselves and goes through all of them for every row.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features; none with `statistics: [count]` alone.
    windows
        Durations; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    statistics
        `mean`, `std` (ddof 1, missing for a single value), `min`, `max`, `count`, `sum`.
    panes
        Per window, 1 to 1024; 12 unless given.
    min_count
        Fewer values than this leave every statistic but the count missing, and the row warming up.
    exact
        Windows without panes.
    limit
        Values that an exact window holds, 1 to 512, 128 unless given; of more, the last ones count. They take
        16 bytes each of every entity, for every column and window: 2 kB at 128.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock.
    ValueError
        If panes, limit or min_count are out of range, or panes are given to an exact window or a limit to another;
        if a window is shorter than its panes in microseconds, or there is no column to take a statistic of.

    Examples
    --------
    >>> Rolling(columns=("bytes",), windows=(300.0,), statistics=("mean", "max")).names({})
    ('bytes_mean_5m', 'bytes_max_5m')
    >>> Rolling(windows=(60.0,), statistics=("count",)).names({})
    ('count_1m',)
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        columns: tuple[str, ...] = (),
        windows: tuple[Duration, ...] = (60.0, 300.0),
        statistics: tuple[Statistic, ...] = ("mean", "std", "min", "max"),
        panes: int | None = None,
        min_count: int = 1,
        exact: bool = False,
        limit: int | None = None,
    ) -> None:
        self.columns = columns
        self.windows = tuple(seconds(window) for window in windows)
        self.statistics = statistics
        self.panes = panes
        self.min_count = min_count
        self.exact = exact
        self.limit = limit
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}, wanted at least 1")
        if exact:
            self._check_exact()
        elif limit is not None:
            raise ValueError(f"limit is {limit}, which holds for `exact: true` alone")
        if not statistics or (not columns and set(statistics) != {"count"}):
            raise ValueError(f"{', '.join(statistics) or 'no statistic'} of no column, wanted columns, or count alone")
        for window in self.windows:
            self._shape(window)

    def _check_exact(self) -> None:
        if self.panes is not None:
            raise ValueError(f"panes is {self.panes}, but an exact window has none")
        if not 1 <= self._held() <= MAX_RECENT:
            raise ValueError(f"limit is {self.limit}, wanted 1 to {MAX_RECENT}")
        if self.min_count > self._held():
            raise ValueError(f"min_count is {self.min_count}, more than the {self._held()} values that a window holds")
        if any(round(window * SECOND) < 1 for window in self.windows):
            raise ValueError("a window is shorter than a microsecond")

    def _held(self) -> int:
        return _LIMIT if self.limit is None else self.limit

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
        constants = {**self._shape(window), "statistics": self.statistics, "min_count": self.min_count}
        inputs = () if column is None else (column,)
        return Operation("recent" if self.exact else "panes", inputs, self._names(column, window), constants)

    def _shape(self, window: float) -> dict[str, int]:
        if self.exact:
            return {"window_us": round(window * SECOND), "limit": self._held()}
        panes = _PANES if self.panes is None else self.panes
        return {"pane_us": pane_us(window, panes), "panes": panes}

    def _names(self, column: str | None, window: float) -> tuple[str, ...]:
        prefix = "" if column is None else f"{column}_"
        return tuple(f"{prefix}{statistic}_{window_text(window)}" for statistic in self.statistics)
