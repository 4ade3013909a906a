"""How usual a row's value is for its entity of late."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import check_limit, kind_of_values, pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class Frequency(Feature):
    """`<column>_frequency_<window>`: the share of the entity's rows in the window that have this row's value.

    Take it where a value is odd for one entity and everyday for another: a protocol, a port, a peer. It lies above 0
    and reaches 1, since the row itself is in the window; an entity's first row has 1. Rows without a value stay out,
    and have none. Windows move in panes as those of `rolling` do.

    A pane counts the rows of its first `limit` values. Rows of further values count among all rows alone, so that the
    share of theirs is a lower bound; each moves the counter `tocsin_window_values_dropped_total`.

    Parameters
    ----------
    columns
        Fields of dtype category, address, integer or boolean.
    window
        A duration; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    panes
        Of the window, 1 to 1024.
    limit
        Different values in a pane, 1 to 65,536.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field holds floats or times.
    ValueError
        If panes or limit are out of range, or the window is shorter than its panes in microseconds.

    Examples
    --------
    >>> Frequency(columns=("protocol",), window=3600.0).names({})
    ('protocol_frequency_1h',)
    """

    def __init__(
        self, *, columns: tuple[str, ...], window: Duration = 3_600.0, panes: int = 12, limit: int = 1_024
    ) -> None:
        self.columns = columns
        self.window = seconds(window)
        self.panes = panes
        self.limit = limit
        check_limit(limit)
        pane_us(self.window, panes)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol", "packets"), window=600.0, limit=8)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_frequency_{window_text(self.window)}" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            Operation("value_panes", (column,), (name,), self._constants(schema, column))
            for column, name in zip(self.columns, self.names(tables), strict=True)
        )

    def _constants(self, schema: Schema, column: str) -> dict[str, int | str]:
        return {
            "statistic": "share",
            "reads": kind_of_values(schema, column, repr(self)),
            "pane_us": pane_us(self.window, self.panes),
            "panes": self.panes,
            "limit": self.limit,
        }
