"""How many different values an entity met of late: a scan touches many ports, a worm many hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import check_limit, kind_of_values, pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class FanOut(Feature):
    """`<column>_distinct_<window>`: the number of different values, per entity and up to the row itself.

    Take it where it is the breadth that tells: ports that a host tries, hosts that it reaches, users from one
    address. A missing value stays out. Windows move in panes as those of `rolling` do.

    A pane counts its first `limit` values exactly. Beyond, the count is a lower bound, and the rows whose values were
    dropped move the counter `tocsin_window_values_dropped_total`. At worst an entity holds `panes` times `limit`
    values of a column and window, at about 100 bytes and the length of the text: lower the limit where many entities
    meet many values.

    Parameters
    ----------
    columns
        Fields of dtype category, address, integer or boolean.
    windows
        Durations; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    panes
        Per window, 1 to 1024.
    limit
        Different values in a pane, 1 to 65,536.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field holds floats or times.
    ValueError
        If panes or limit are out of range, or a window is shorter than its panes in microseconds.

    Examples
    --------
    >>> FanOut(columns=("dst_ip", "dst_port"), windows=(600.0,)).names({})
    ('dst_ip_distinct_10m', 'dst_port_distinct_10m')
    """

    def __init__(
        self, *, columns: tuple[str, ...], windows: tuple[Duration, ...] = (600.0,), panes: int = 12, limit: int = 1_024
    ) -> None:
        self.columns = columns
        self.windows = tuple(seconds(window) for window in windows)
        self.panes = panes
        self.limit = limit
        check_limit(limit)
        for window in self.windows:
            pane_us(window, panes)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol", "packets"), windows=(60.0, 600.0), limit=8)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(self._name(column, window) for column in self.columns for window in self.windows)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            self._operation(schema, column, window) for column in self.columns for window in self.windows
        )  # fmt: skip

    def _operation(self, schema: Schema, column: str, window: float) -> Operation:
        constants = {
            "statistic": "distinct",
            "reads": kind_of_values(schema, column, repr(self)),
            "pane_us": pane_us(window, self.panes),
            "panes": self.panes,
            "limit": self.limit,
        }
        return Operation("value_panes", (column,), (self._name(column, window),), constants)

    def _name(self, column: str, window: float) -> str:
        return f"{column}_distinct_{window_text(window)}"
