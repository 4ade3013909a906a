"""Distance from an entity's own recent level, in its own recent deviations."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.schema import Schema

_PANES = 12
"""As `rolling` has them unless it is told otherwise."""


class ZScore(Feature):
    """`<column>_zscore_<window>`: (value - mean) / standard deviation (ddof 1) of the entity's window before the row.

    Take it where entities differ in level and spread, and a row tells only against its own: a quiet sensor beside a
    busy one. The row is measured before it enters the window, so that it cannot hide itself; with `include_current` it
    is measured after, and then no score exceeds (n - 1) / sqrt(n) for n values. Windows move in panes as those of
    `rolling` do.

    Where all values of the window are the same, there is no deviation to measure with: the same value again gets 0,
    any other the full clip, since a first change after constancy is what one wants to see.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features.
    window
        A duration; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    clip
        Scores end here, on either side: beyond, how far is a matter of the deviation's last digits.
    min_count
        With fewer values than this in the window the score is missing, and the row warming up; at least 2.
    include_current
        Measure with the row in its window.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a column is not numeric.
    ValueError
        If clip or min_count is out of range, or the window is shorter than its panes in microseconds.

    Examples
    --------
    >>> ZScore(columns=("temperature",), window=1_800.0).names({})
    ('temperature_zscore_30m',)
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        window: Duration = 1_800.0,
        clip: float = 8.0,
        min_count: int = 2,
        include_current: bool = False,
    ) -> None:
        self.columns = columns
        self.window = seconds(window)
        self.clip = clip
        self.min_count = min_count
        self.include_current = include_current
        if not (isfinite(clip) and clip > 0):
            raise ValueError(f"clip is {clip}, wanted a finite number above 0")
        if min_count < 2:
            raise ValueError(f"min_count is {min_count}, wanted at least 2, since one value has no deviation")
        pane_us(self.window, _PANES)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("bytes", "temperature"), window=600.0, min_count=3)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_zscore_{window_text(self.window)}" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        for column in self.columns:
            self.numeric(schema, column)
        constants = {
            "pane_us": pane_us(self.window, _PANES),
            "panes": _PANES,
            "clip": self.clip,
            "min_count": self.min_count,
            "include_current": self.include_current,
        }
        return tuple(
            Operation("zscore", (column,), (name,), constants)
            for column, name in zip(self.columns, self.names(tables), strict=True)
        )
