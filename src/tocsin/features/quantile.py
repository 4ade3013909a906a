"""Quantiles of the last minutes or hours: the usual latency, and the one that hardly a request exceeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.quantiles import Quantiles
from tocsin.schema import Schema


class Quantile(Feature):
    """`<column>_p50_<window>`, `<column>_p99_<window>`: quantiles, per entity and up to the row itself.

    Take it for latencies and sizes, where a mean hides the slow few and a maximum is the slowest of all. The quantile
    q of n values is the one of rank ceil(q n), counted from 1 at the smallest: no number between two values. The row
    itself is in the window; a missing value stays out. Windows move in panes as those of `rolling` do.

    Values are counted in buckets, so that a quantile is told within `relative_error` of it, whatever the values are,
    between `smallest` and `largest`. Below, it is told as 0, above as `largest`. At the defaults an entity takes about
    8.4 kB of each column. That is in proportion to `panes` + 1, to the powers of ten between `smallest` and `largest`,
    and to 1 / `relative_error`.

    Parameters
    ----------
    columns
        Numeric fields whose `minimum` is at least 0.
    window
        A duration; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    quantiles
        Whole millionths between 0 and 1: 0.5 becomes `p50`, 0.999 becomes `p99_9`.
    relative_error
        0.001 to 0.5: at 0.05, 100 ms may be told as 95 to 105 ms.
    smallest, largest
        In the column's unit, from 1e-12 to 1e18.
    panes
        Of the window, 1 to 1024.
    min_count
        Fewer values than this leave the quantiles missing, and the row warming up.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field may be negative.
    ValueError
        If a parameter is out of range, the window takes more than a mebibyte of an entity, or it is shorter than its
        panes in microseconds.

    Examples
    --------
    >>> Quantile(columns=("latency",), window=300.0, quantiles=(0.5, 0.999)).names({})
    ('latency_p50_5m', 'latency_p99_9_5m')
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        columns: tuple[str, ...],
        window: Duration = 300.0,
        quantiles: tuple[float, ...] = (0.5, 0.99),
        relative_error: float = 0.05,
        smallest: float = 1e-3,
        largest: float = 1e9,
        panes: int = 6,
        min_count: int = 1,
    ) -> None:
        self.columns = columns
        self.window = seconds(window)
        self.quantiles = quantiles
        self.relative_error = relative_error
        self.smallest = smallest
        self.largest = largest
        self.panes = panes
        self.min_count = min_count
        Quantiles(self._constants(), (0,), 0)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("bytes", "packets"), window=600.0, quantiles=(0.5, 0.9), min_count=2)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in self._names(column))

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        for column in self.columns:
            self.never_negative(schema, column)
        return tuple(
            Operation("quantiles", (column,), self._names(column), self._constants()) for column in self.columns
        )

    def _constants(self) -> dict[str, Any]:
        return {
            "pane_us": pane_us(self.window, self.panes),
            "panes": self.panes,
            "quantiles": self.quantiles,
            "relative_error": self.relative_error,
            "smallest": self.smallest,
            "largest": self.largest,
            "min_count": self.min_count,
        }

    def _names(self, column: str) -> tuple[str, ...]:
        texts = [f"{100 * quantile:g}".replace(".", "_") for quantile in self.quantiles]
        return tuple(f"{column}_p{text}_{window_text(self.window)}" for text in texts)
