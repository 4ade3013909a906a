"""Whether a value comes back like clockwork."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import kind_of_values, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.returns import Returns
from tocsin.records import SECOND
from tocsin.schema import Schema


class Regularity(Feature):
    """`<column>_regular_<window>`: how many times in a row this value has come back after about the same time.

    Take it for the peer of a flow, to see a program that calls home by its own clock: people come back after times
    that differ. It counts the gaps between the last visits of the row's value in the window of its entity, backwards
    from the row, as long as each differs by no more than `tolerance` of their mean; 0 if the value was not there
    before, 1 if it was, after another time than the one before that. A row without a value, and one that comes late,
    has none.

    Much that is regular is harmless: clocks that are set, updates that are looked for, checks of a monitor. Either the
    history holds them and the level lies above them, or `alerts.allow` names host and column. A caller that waits for
    times between t and 2t stays unseen, and so does one that sends only when others do.

    An entity takes about 4.4 kB of each column: `values` times (`gaps` + 5) times 8 bytes.

    Parameters
    ----------
    columns
        Fields of dtype category, address, integer or boolean.
    window
        A duration; a column is named after the longest unit that divides it. Gaps of more than a fifth of it are
        hardly ever enough of them.
    tolerance
        How far a gap may lie from the mean of those after it, as a share of that, in (0, 1).
    apart
        Rows closer together than this are one visit: a page takes several connections.
    gaps
        How many are counted at most, 2 to 64.
    values
        How many values of an entity are remembered, 1 to 256; the one that was not there for longest is forgotten.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field holds floats or times.
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> Regularity(columns=("protocol",), window=3600.0).names({})
    ('protocol_regular_1h',)
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        columns: tuple[str, ...],
        window: Duration = 7_200.0,
        tolerance: float = 0.2,
        apart: Duration = 5.0,
        gaps: int = 12,
        values: int = 32,
    ) -> None:
        self.columns = columns
        self.window = seconds(window)
        self.tolerance = tolerance
        self.apart = seconds(apart)
        self.gaps = gaps
        self.values = values
        Returns(self._constants(), (0,), 0)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol", "packets"), window=600.0, tolerance=0.5, apart=1.0, gaps=4, values=3)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_regular_{window_text(self.window)}" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            self._operation(schema, column, name) for column, name in zip(self.columns, self.names(tables), strict=True)
        )

    def _operation(self, schema: Schema, column: str, name: str) -> Operation:
        constants = {"reads": kind_of_values(schema, column, repr(self)), **self._constants()}
        return Operation("returns", (column,), (name,), constants)

    def _constants(self) -> dict[str, Any]:
        return {
            "window_us": round(self.window * SECOND),
            "apart_us": round(self.apart * SECOND),
            "tolerance": self.tolerance,
            "gaps": self.gaps,
            "values": self.values,
        }
