"""How usual a row's value is for its entity of late."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import kind_of_values, pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.values import Share
from tocsin.schema import Schema


class Frequency(Feature):
    """`<column>_frequency_<window>`: the share of the entity's rows in the window that have this row's value.

    Take it where a value is odd for one entity and everyday for another: a protocol, a port, a peer. It lies above 0
    and reaches 1, since the row itself is in the window; an entity's first row has 1. Rows without a value stay out,
    and have none. Windows move in panes as those of `rolling` do. A row that comes so late that the window has left
    its time is told what the window holds without it, which may be 0.

    The share is never too small. It is too large by what shares the value's counters: less than 1/`bins` on average,
    however many values there are, and more than five times that for hardly one row in a hundred. With the default
    64 bins a value that is one row in a thousand may thus be told as one in fifty; twenty values are mostly told
    exactly. An entity takes about 6.7 kB of each column: (`panes` + 1) times `bins` times 8 bytes.

    Parameters
    ----------
    columns
        Fields of dtype category, address, integer or boolean.
    window
        A duration; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    panes
        Of the window, 1 to 1024.
    bins
        Counters in each of the two lines of a pane: a power of two from 16 to 4096.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field holds floats or times.
    ValueError
        If panes or bins are out of range, the window takes more than a mebibyte of an entity, or it is shorter than
        its panes in microseconds.

    Examples
    --------
    >>> Frequency(columns=("protocol",), window=3600.0).names({})
    ('protocol_frequency_1h',)
    """

    def __init__(
        self, *, columns: tuple[str, ...], window: Duration = 3_600.0, panes: int = 12, bins: int = 64
    ) -> None:
        self.columns = columns
        self.window = seconds(window)
        self.panes = panes
        self.bins = bins
        Share(self._constants(), (0,), 0)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol", "packets"), window=600.0, bins=16)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_frequency_{window_text(self.window)}" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            self._operation(schema, column, name) for column, name in zip(self.columns, self.names(tables), strict=True)
        )

    def _operation(self, schema: Schema, column: str, name: str) -> Operation:
        constants = {"reads": kind_of_values(schema, column, repr(self)), **self._constants()}
        return Operation("share", (column,), (name,), constants)

    def _constants(self) -> dict[str, Any]:
        return {"pane_us": pane_us(self.window, self.panes), "panes": self.panes, "bins": self.bins}
